// Prints a set of new private keys, one for each algorithm. Arguments: a part of their kid, then algorithms.

import { exportJWK, generateKeyPair } from 'jose';

const [mark, ...algorithms] = process.argv.slice(2);
const keys = [];
for (const alg of algorithms) {
  const { privateKey } = await generateKeyPair(alg === 'EdDSA' ? 'Ed25519' : alg, { extractable: true });
  keys.push({ ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `${mark}-${alg}` });
}
console.log(JSON.stringify({ keys }));

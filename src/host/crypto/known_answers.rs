//! A key of each kind with a signature for each hash, made by another implementation. The private halves do
//! not exist any more.
//!
//! It contains these values only.

use crate::jose::Algorithm;

/// The text that is signed.
pub(super) const MESSAGE: &[u8] = b"proxy-wasm-jwt known answer";

/// A public key, and its signatures over [`MESSAGE`].
pub(super) struct Known {
    /// The key as JWK.
    pub(super) jwk: &'static [u8],
    /// base64url, as in a token.
    pub(super) signatures: &'static [(Algorithm, &'static str)],
}

pub(super) const KNOWN: &[Known] = &[
    Known {
        jwk: b"{\"kty\":\"RSA\",\"n\":\"58B5cgExheiwYpZtn31qdKaYEwEqI2eyAr3s7E4ZVYFMtjOkWSijAO9I9Ln6dnXzwFymJk36O\
            EhK1OzeS4Us0KQW65gK_JwoLLzY-A30aITfLHR6mm3diu22CrTuHTqzUVP7ZSVdYaBwh_uxzI7f28aSWo5Octcp65FzjuUDzWc\
            QC-2rJ26TeMsY4q-9dBYYRQEFQN2APFKY1S74V9GKjoAPJnidh0PmQIbIt8qvxK5g94K_n1obCOPWw6DnT27tthVqrj6fG2Gg_\
            9HbYmitSXCyhLWXy2m97neTIZDM6zKC9Vms-uCshQ2UsMlOvAqbGwtiI01hV2RoYMtoPFRcPQ\",\"e\":\"AQAB\"}",
        signatures: &[
            (
                Algorithm::Rs256,
                "xt6RDRzqtN5o0EvlVqzy8c4wK7kAWQFLLovHwlSOXM7SB5NNjTFaq4cQwzS2PttjrMK-jrAUqWbVFAPRsPSzdG4DxcDSs0A9\
                N2OIHbZIDdbd_rCdRTcglxr0mE1AQMu5REydu37bePEcAttUA0hgr41EbxTJeA9SobpB5w2N9XvzOBPqxDfDy3tKZE1J_Xfa\
                t_SngXgAUxqXD4dQvKBl1j_O7IYC7-n6thId7ZkoQtdg0T5ZclzMz1DwKToPTmm_bsLNrYC5eerqTc0HgeUXqhq2WRNAuBJP\
                DOa0DmOC1Q36Ap1xaY1dcp5-fWBpSZrSmbRaILMajsL1r0h1Af5X8w",
            ),
            (
                Algorithm::Rs384,
                "a7JMRf_97F-v0nFh-fwiEpBlxeeQ0d609pcbfZ-Rc5Js5wzZqUbEGZa1OkFLojkMdaiwlRC_OZ_bpqjSs69KWLQjbz_mxnE9\
                FYovRGH4_Wd1un4re-ToC76DTz-WE87UaXbl5VK38HFR8sd3hv4gBjlMAja9QNw88Zn2Oz7KS_-75sA1DKBv5HvinEGvn5oX\
                HDpeBFpzCtQVdQBDmGZo5o04wwBnIcNH-ok6JkJ8ApoaFxK-U710Gak5NMEeMVnuslPs9pTblz4LpYTcRPQZv4cvHfBVWZcP\
                BYyG71psaTeak_bjNQpXknc2eI0IbF6LniVik7_1sIn2XZL3cUgoPQ",
            ),
            (
                Algorithm::Rs512,
                "R6I7vMqDtB3wTtOXJFRYC1onxtMgdtZ2kN4b5K_EFx8dpnWs632jfqZAj7NVy_p9EtfrhFB_qfgOlhCz_AFCvMcXnG2DJ0nk\
                oICCnKP0S07k-PRBID4FpXSnfrwWmBj9NpuaxNEl6yh8mqOi4vxK6__6K7_HlN_k5kgKPYhsQRH4Jbovy0GY6cOK3ttvpu5R\
                MCj4eAgUbOnvLn13xuugEHnkKcGe7IGUNX1U7meA4jJTuwhf6YZxRLu_marOyYWL7jpGNJ9-9veSigjlaq-CPUn7QF53hMbq\
                Ec73iUVUdoeTmZjvu5Ivr4IV0R5ysM2g-Ux6KmDmwtCi5FpvQnKxAg",
            ),
        ],
    },
    Known {
        jwk: b"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"ml6A8Qx35B4Fq0-cbdOIy60j7GC0HaFJpwn_K6An91M\",\"y\":\"oY\
            fsksjexGX_v2OoNpTxSRUiLbcFIDSu8te-oU2hxmg\"}",
        signatures: &[
            (
                Algorithm::Es256,
                "di0auSaaY-eeXJ30R1VCUzmfeuCA0SuqKV3i3PG8LZe2KvTXxuR8VOd0nomxy5bL7NF8Ui1RNeQXYaR79LduEQ",
            ),
        ],
    },
    Known {
        jwk: b"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"fXyaX8XGPch8sCy5MvECZakNr3Mejw1cPr-0EXlG8_2Z8FZaXx9zW44b\
            GZUJ_tRE\",\"y\":\"wk4-cl8n0KecqS_xvDvjbO9szDrFqsKfJ_-9JNJf3KJ8fnC5aEgrLg629xeV4k8T\"}",
        signatures: &[
            (
                Algorithm::Es384,
                "YQeB1vIpTSs2qTKxQSXEq3vaSSkPt3AIs31LENNyEieaYvPkSnWa5KxdNnWyQ2bTZttjP9JdeWXGEoPxh5HD8rq51oPRaPS4\
                UYDdGqtuFWZPNy9sehQmD-DNqK1fQEOX",
            ),
        ],
    },
    Known {
        jwk: b"{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AI7iESgAuYXRGvR2nKPQVHDwnxZOaga1N68LpT4Q5T2AgEPtKQEW3tHl\
            H7BwrKEX6E_Z_e7JDJx8TYQ--lvdBBq6\",\"y\":\"AElp0rCzr6kMHHGnaCzH65XwdRsD3eSFQTweq4upBj5TflAMdlFH3xJ\
            mS_ZeZw5ya4sexazx-i7X70OTPURUDyEd\"}",
        signatures: &[
            (
                Algorithm::Es512,
                "AabiVj5_BS7zMcwEPb-0IMyEjrtZppfwaW9PH1MtR3Um2QPj80F1VpLbunqpIDuaXPPoWQhr8EgBnLwnq4XXVucSAfWhnhVy\
                sFwYSbr4IC0umiIfcjQkYtDkwcAXfVIw7Dzy0VPEBRgVZ6fbbqaTohVzxN5JEeb8uX6-I-8tXDL8pwp5",
            ),
        ],
    },
];

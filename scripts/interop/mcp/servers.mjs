// Two MCP servers, at /orders/mcp and /billing/mcp, with a tool `whoami` each. They know nothing of tokens:
// the tool says who the header of the filter says it is. Argument: the port.

import { createServer } from 'node:http';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

createServer(async (request, response) => {
  const server = new McpServer({ name: request.url, version: '1.0.0' });
  const text = `${request.url} ${request.headers['x-jwt-sub']} ${request.headers.authorization ?? 'no token'}`;
  server.registerTool('whoami', { description: 'Says who calls' }, async () => ({ content: [{ type: 'text', text }] }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on('close', () => {
    transport.close();
    server.close();
  });
  await server.connect(transport);
  await transport.handleRequest(request, response);
}).listen(Number(process.argv[2]), '127.0.0.1');

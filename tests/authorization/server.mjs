// The authorization server of the tests: oidc-provider, told on its standard input what to do.
//
// Each line in is an object: `clients` (once, first) starts it; `scopes` and `seconds` say what a
// token opens and how long; `revoke` takes back every token given. Each is answered by a line.
// Lines out begin with a word: PORT, DONE, GRANTED (scope), REFUSED (code and why).

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';

const RESOURCE = 'urn:fhirmsg:tests:fhir';
const state = { scopes: '', seconds: 300 };
const tokens = [];

function start({ clients, reader }) {
  const server = createServer();
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    const provider = new Provider(`http://127.0.0.1:${port}`, {
      clients: [
        ...clients.map(({ id, keys, algorithm }) => ({
          client_id: id,
          grant_types: ['client_credentials'],
          response_types: [],
          redirect_uris: [],
          token_endpoint_auth_method: 'private_key_jwt',
          token_endpoint_auth_signing_alg: algorithm,
          jwks: { keys },
        })),
        {
          client_id: 'fhir-server',
          client_secret: reader,
          grant_types: [],
          response_types: [],
          redirect_uris: [],
        },
      ],
      clientAuthMethods: ['client_secret_basic', 'private_key_jwt'],
      enabledJWA: { clientAuthSigningAlgValues: ['RS384', 'ES384', 'RS512'] },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        introspection: { enabled: true },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => RESOURCE,
          getResourceServerInfo: () => ({
            scope: state.scopes,
            audience: RESOURCE,
            accessTokenTTL: state.seconds,
            accessTokenFormat: 'opaque',
          }),
        },
      },
    });
    provider.on('client_credentials.saved', (token) => tokens.push(token));
    provider.on('grant.success', (ctx) => console.log(`GRANTED ${ctx.body.scope ?? ''}`));
    provider.on('grant.error', (_, error) => {
      console.log(`REFUSED ${error.error}: ${error.error_detail ?? error.error_description}`);
    });
    server.on('request', provider.callback());
    console.log(`PORT ${port}`);
  });
}

async function obey(line) {
  const { clients, revoke, ...settings } = JSON.parse(line);
  Object.assign(state, settings);
  if (clients) {
    start({ clients, reader: settings.reader });
    return;
  }
  if (revoke) {
    await Promise.all(tokens.splice(0).map((token) => token.destroy()));
  }
  console.log('DONE');
}

// Who started this holds the input open: it ends when they do.
createInterface({ input: process.stdin })
  .on('line', obey)
  .on('close', () => process.exit(0));

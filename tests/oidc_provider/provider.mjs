// A certified OpenID provider (npm oidc-provider) whose one client gets JWTs for whatever audience it asks for.
// Arguments: issuer, certificate file, key file. It prints "started" when it listens.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { Provider } from "oidc-provider";

const [issuer, certificate, key] = process.argv.slice(2);
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "backend",
      client_secret: "word-of-the-test",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: "",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: 600,
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
});
createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback()).listen(
  Number(new URL(issuer).port),
  "127.0.0.1",
  () => console.log("started"),
);

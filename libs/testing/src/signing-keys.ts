import { generateKeyPairSync, randomUUID } from 'node:crypto';

interface SigningJwk {
  readonly [member: string]: unknown;
  readonly kid: string;
}

/** Makes a key pair to sign commands with: JWKs for EdDSA (Ed25519) or ES256 (P-256) with a random `kid`. */
export const signingKeys = (alg: 'EdDSA' | 'ES256' = 'EdDSA'): { publicKey: SigningJwk; privateKey: SigningJwk } => {
  const { publicKey, privateKey } =
    alg === 'EdDSA' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const more = { kid: randomUUID(), use: 'sig', alg };
  return {
    publicKey: { ...publicKey.export({ format: 'jwk' }), ...more },
    privateKey: { ...privateKey.export({ format: 'jwk' }), ...more },
  };
};

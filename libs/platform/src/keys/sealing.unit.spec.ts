import { RekeyError } from '@rekey/contracts';
import fc from 'fast-check';
import { CompactEncrypt, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';
import { open, seal } from './sealing';

const pair = async (crv = 'P-256'): Promise<{ publicKey: JWK; privateKey: JWK }> => {
  const keys = await generateKeyPair('ECDH-ES+A256KW', { crv, extractable: true });
  return { publicKey: await exportJWK(keys.publicKey), privateKey: await exportJWK(keys.privateKey) };
};

const refusal = (field: string) => expect.objectContaining({ code: 'invalid_request', details: { field } });

describe('sealing', () => {
  it.each(['P-256', 'P-384', 'P-521', 'X25519'])('opens what it sealed to a key on %s', async (crv) => {
    const { publicKey, privateKey } = await pair(crv);
    const sealed = await seal('a value, ü too', publicKey);
    expect(sealed).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(await open(sealed, privateKey)).toBe('a value, ü too');
  });

  it('names only the algorithms and the key in the header', async () => {
    const { publicKey } = await pair();
    const sealed = await seal('plain value', { ...publicKey, kid: 'key-1' });
    const header = JSON.parse(Buffer.from(sealed.split('.')[0] ?? '', 'base64url').toString());
    expect(header).toMatchObject({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: 'key-1' });
    expect(Object.keys(header).sort()).toEqual(['alg', 'enc', 'epk', 'kid']);
  });

  it('seals the same value differently each time', async () => {
    const { publicKey } = await pair();
    expect(await seal('value', publicKey)).not.toBe(await seal('value', publicKey));
  });

  it('refuses a value sealed to another key', async () => {
    const [mine, theirs] = await Promise.all([pair(), pair()]);
    const sealed = await seal('value', theirs.publicKey);
    await expect(open(sealed, mine.privateKey)).rejects.toEqual(refusal('sealedValue'));
  });

  it('refuses an altered JWE, and names the given field', async () => {
    const { publicKey, privateKey } = await pair();
    const sealed = await seal('value', publicKey);
    for (const part of [0, 1, 2, 3, 4]) {
      const parts = sealed.split('.');
      const text = parts[part] ?? '';
      parts[part] = (text.startsWith('A') ? 'B' : 'A') + text.slice(1);
      await expect(open(parts.join('.'), privateKey, 'firstSecret.value')).rejects.toEqual(
        refusal('firstSecret.value'),
      );
    }
  });

  it('refuses garbage', async () => {
    const { privateKey } = await pair();
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string(),
          fc.base64String().map((text) => `${text}.a.b.c.d`),
        ),
        async (text) => {
          await expect(open(text, privateKey)).rejects.toBeInstanceOf(RekeyError);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('refuses other algorithms and compression with the right key', async () => {
    const { publicKey, privateKey } = await pair();
    const key = await importJWK(publicKey, 'ECDH-ES');
    const other = (header: Record<string, string>) =>
      new CompactEncrypt(new TextEncoder().encode('value'))
        .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', ...header })
        .encrypt(key);
    await expect(open(await other({ alg: 'ECDH-ES' }), privateKey)).rejects.toEqual(refusal('sealedValue'));
    await expect(open(await other({ enc: 'A128GCM' }), privateKey)).rejects.toEqual(refusal('sealedValue'));
    await expect(open(await other({ zip: 'DEF' }), privateKey)).rejects.toEqual(refusal('sealedValue'));
  });

  it.each([
    ['a point that is not on the curve', { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA' }],
    ['another kind of key', { kty: 'oct', k: 'AAAA' }],
    ['an empty object', {}],
  ])('refuses %s as a recipient', async (_name, key) => {
    await expect(seal('value', key as JWK)).rejects.toEqual(refusal('recipientKey'));
    await expect(seal('value', key as JWK)).rejects.toEqual(refusal('recipientKey'));
  });
});

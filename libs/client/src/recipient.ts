import { recipientKeySchema, RekeyError, type RecipientKey } from '@rekey/contracts';
import { open } from '@rekey/platform';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import type { PrivateJwk } from './options';

/** The key pair that values are sealed to, and opened by. */
export class RecipientKeys {
  private constructor(
    readonly publicKey: RecipientKey,
    private readonly privateKey: JWK,
  ) {}

  /** Throws `invalid_request` where the key is none for ECDH-ES. */
  static of({ kty, crv, x, y, d, kid }: PrivateJwk): RecipientKeys {
    const point = { kty, crv, x, ...(y !== undefined && { y }), ...(kid !== undefined && { kid }) };
    const publicKey = recipientKeySchema.safeParse(point);
    if (!publicKey.success || d === undefined)
      throw new RekeyError('invalid_request', 'Must be a private JWK on P-256, P-384, P-521 or X25519.', {
        field: 'recipientKey',
      });
    return new RecipientKeys(publicKey.data, { ...point, d });
  }

  static async made(): Promise<RecipientKeys> {
    const { privateKey } = await generateKeyPair('ECDH-ES+A256KW', { crv: 'P-256', extractable: true });
    return RecipientKeys.of((await exportJWK(privateKey)) as PrivateJwk);
  }

  /** The value in clear; null where it was sealed to another key: it is as lost as one that is not kept any longer. */
  async opened(sealedSecret: string): Promise<string | null> {
    return open(sealedSecret, this.privateKey).catch(() => null);
  }
}

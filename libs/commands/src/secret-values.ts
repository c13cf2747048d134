import { RekeyError, makesValue, type CommandEnvelope } from '@rekey/contracts';
import {
  LOOKUP_BYTES,
  RANDOM_BYTES,
  composeSecret,
  hintOf,
  lookupIdFrom,
  parseSecret,
  type Verifier,
} from '@rekey/domain';
import { open, seal } from '@rekey/platform';
import { sha256, type SecretHasher } from '@rekey/ports';
import canonicalize from 'canonicalize';
import type { JWK } from 'jose';

/** What a command keeps of the value that it makes or imports: never the value in clear. */
export interface SecretValue {
  readonly verifier?: Verifier;
  /** The value sealed to the command's `recipientKey`, for a value that Rekey made. */
  readonly sealedSecret?: string;
}

const IMPORTED_LENGTH_MAX = 1024;

/** Opens imported values, and makes new ones. */
export class SecretValues {
  constructor(
    private readonly hasher: SecretHasher,
    private readonly openingKey: JWK,
  ) {}

  /** Returns the value that a command imports, in clear. Throws `invalid_request` for a value that cannot be imported. */
  async openImported(command: CommandEnvelope): Promise<string | undefined> {
    if (command.type !== 'RegisterApplication') return undefined;
    const sealedValue = command.data.firstSecret?.sealedValue;
    if (sealedValue === undefined) return undefined;
    const value = await open(sealedValue, this.openingKey);
    const field = 'firstSecret.value';
    if (!/^[\x20-\x7e]+$/.test(value) || value.length > IMPORTED_LENGTH_MAX)
      throw new RekeyError('invalid_request', `A value has 1 to ${IMPORTED_LENGTH_MAX} printable ASCII characters.`, {
        field,
      });
    if (parseSecret(value).kind !== 'foreign')
      throw new RekeyError('invalid_request', 'An imported value must not begin with rky_.', { field });
    return value;
  }

  /**
   * Hashes a command's type, data and expected revision: a retry must have the same. An imported value is replaced by
   * its keyed digest, because sealing it again gives another ciphertext.
   */
  fingerprint(command: CommandEnvelope, imported: string | undefined): string {
    const { type, data, expectedRevision } = command;
    if (command.type !== 'RegisterApplication' || imported === undefined)
      return sha256(canonicalize({ type, data, expectedRevision: expectedRevision ?? null }) ?? '');
    const { domainId, clientId, firstSecret } = command.data;
    const sealedValue = this.hasher.importedLookupId(domainId, clientId, imported);
    return sha256(canonicalize({ type, data: { ...data, firstSecret: { ...firstSecret, sealedValue } } }) ?? '');
  }

  /** Makes a command's value, if it makes or imports one. The only function that holds a generated value in clear. */
  async make(command: CommandEnvelope, imported: string | undefined): Promise<SecretValue> {
    const { hasher } = this;
    if (imported !== undefined && command.type === 'RegisterApplication') {
      const { domainId, clientId } = command.data;
      const lookupId = hasher.importedLookupId(domainId, clientId, imported);
      return { verifier: { verifier: await hasher.hash(imported, 'imported'), lookupId } };
    }
    if (!makesValue(command)) return {};
    const { recipientKey } = command;
    if (!recipientKey)
      throw new RekeyError('recipient_key_required', 'Set recipientKey to the public key to seal the value to.', {
        field: 'recipientKey',
      });
    const lookupId = lookupIdFrom(hasher.random(LOOKUP_BYTES));
    const value = composeSecret(lookupId, hasher.random(RANDOM_BYTES));
    const [verifier, sealedSecret] = await Promise.all([
      hasher.hash(value, 'generated'),
      seal(value, recipientKey as JWK),
    ]);
    return { verifier: { verifier, lookupId, hint: hintOf(value) }, sealedSecret };
  }
}

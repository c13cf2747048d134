import type { KafkaConnection, KafkaLog, KafkaSasl } from '@rekey/adapters/kafka';
import type { Caller, Role } from '@rekey/contracts';

/** A public key as a JWK (RFC 7517). */
export interface PublicJwk {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y?: string;
  readonly kid?: string;
  readonly use?: string;
  readonly alg?: string;
}

/** A private key as a JWK (RFC 7517). */
export interface PrivateJwk extends PublicJwk {
  readonly d: string;
}

export interface RekeyClientOptions {
  /** `host:port`; any of them tells of the others. */
  readonly brokers: readonly string[];
  /** TLS with the authorities of the system, or by options of Node (`ca`, `cert`, `key`, `servername`). */
  readonly ssl?: KafkaConnection['ssl'];
  readonly sasl?: KafkaSasl;
  /** This service, as Rekey knows it in `access.services`. */
  readonly name: string;
  /** Its private key for EdDSA or ES256, with the `kid` of the public one: what `rekey keys` has written. */
  readonly privateKey: PrivateJwk;
  /** `kafka.audience` of Rekey; default `rekey`. */
  readonly audience?: string;
  /** `kafka.topicPrefix` of Rekey; default none. */
  readonly topicPrefix?: string;
  /**
   * Where replies come to; must be there, and fit `kafka.replyTopics` of Rekey. Default: `rekey.commands.reply`, with
   * the prefix before it, which all senders share.
   */
  readonly replyTopic?: string;
  /**
   * Private key for ECDH-ES (P-256, P-384, P-521 or X25519) that values are sealed to. Default: one that lives as long
   * as this client. With a key that is kept, a value can still be opened by a process that asks for it again.
   */
  readonly recipientKey?: PrivateJwk;
  /**
   * Public key for ECDH-ES that values are sealed to which this service brings: what `rekey keys --value-key` has printed.
   * Needed for those alone.
   */
  readonly valueKey?: PublicJwk;
  /** How long `connect` tries, in milliseconds; default 30,000. */
  readonly connectTimeoutMs?: number;
  /** How long one attempt waits for its reply where `send` is not told, in milliseconds; default 10,000. */
  readonly timeoutMs?: number;
  /** For trouble with brokers; never told what is in a record. Default: nobody is told. */
  readonly log?: KafkaLog;
}

/** For whom a service acts that may do so (`mayActFor`): the rights are those that both have. */
export interface ActingFor {
  readonly type: Exclude<Caller['type'], 'service'>;
  readonly name: string;
  readonly roles: readonly Role[];
  /** Default: all that the service has. */
  readonly domains?: readonly string[];
}

export interface SendOptions {
  /** A lower-case UUID; what is sent again under it is done once. Default: a random one. */
  readonly commandId?: string;
  /** Refuses the command where the resource has changed since it had this revision. */
  readonly expectedRevision?: number;
  /** How long one attempt waits for its reply, in milliseconds. */
  readonly timeoutMs?: number;
  /**
   * For how long the command is sent again, under its id, while its outcome is not known, in milliseconds; default 0:
   * not at all. `Infinity`: until it is known.
   */
  readonly retryForMs?: number;
  /** Ends the attempts: no more are made. */
  readonly signal?: AbortSignal;
  readonly actingFor?: ActingFor;
  /** Stands in the history beside what the command did; default: the command's id. */
  readonly correlationId?: string;
}

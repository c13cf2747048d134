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
  /** `host:port` of some brokers; the client finds the others through them. */
  readonly brokers: readonly string[];
  /** TLS: `true` for the system's certificate authorities, or options of Node (`ca`, `cert`, `key`, `servername`). */
  readonly ssl?: KafkaConnection['ssl'];
  readonly sasl?: KafkaSasl;
  /** Name of this service in Rekey's `access.services`. */
  readonly name: string;
  /** Private key of this service for EdDSA or ES256, with its `kid`, as written by `rekey keys`. */
  readonly privateKey: PrivateJwk;
  /** `kafka.audience` of Rekey's configuration. Default `rekey`. */
  readonly audience?: string;
  /** `kafka.topicPrefix` of Rekey's configuration. Default: none. */
  readonly topicPrefix?: string;
  /**
   * Topic for replies. It must exist and match `kafka.replyTopics` of Rekey's configuration. Default:
   * `rekey.commands.reply` with the topic prefix, which all services share.
   */
  readonly replyTopic?: string;
  /**
   * Private key for ECDH-ES (P-256, P-384, P-521 or X25519) that decrypts the values in replies. Default: a key that
   * exists as long as this client. Store a key of your own to decrypt a value after a restart.
   */
  readonly recipientKey?: PrivateJwk;
  /**
   * Public key for ECDH-ES that encrypts imported values, as printed by `rekey keys --value-key`. Only needed to import
   * values.
   */
  readonly valueKey?: PublicJwk;
  /** How long `connect` waits, in milliseconds. Default 30,000. */
  readonly connectTimeoutMs?: number;
  /** How long one attempt waits for its reply, in milliseconds, unless `send` sets it. Default 10,000. */
  readonly timeoutMs?: number;
  /** Gets messages about problems with brokers, never the contents of records. Default: no log. */
  readonly log?: KafkaLog;
}

/** The caller that a service with `mayActFor` acts for. Grants only the rights that both have. */
export interface ActingFor {
  readonly type: Exclude<Caller['type'], 'service'>;
  readonly name: string;
  readonly roles: readonly Role[];
  /** Default: all domains of the service. */
  readonly domains?: readonly string[];
}

export interface SendOptions {
  /** A lower-case UUID. A command that is sent again with the same id is executed once. Default: a random one. */
  readonly commandId?: string;
  /** Rejects the command with `revision_conflict` if the resource has changed since this revision. */
  readonly expectedRevision?: number;
  /** How long one attempt waits for its reply, in milliseconds. */
  readonly timeoutMs?: number;
  /**
   * How long to retry with the same id while the outcome is unknown, in milliseconds. Default 0: no retries. `Infinity`
   * retries until the outcome is known.
   */
  readonly retryForMs?: number;
  /** Stops further attempts. */
  readonly signal?: AbortSignal;
  readonly actingFor?: ActingFor;
  /** Recorded in the history with the events of the command. Default: the command id. */
  readonly correlationId?: string;
}

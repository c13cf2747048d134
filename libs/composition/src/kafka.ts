import {
  defaultReplyTopics,
  topicsOf,
  type KafkaConnection,
  type KafkaLog,
  type KafkaTopics,
} from '@rekey/adapters/kafka';
import { ROLES } from '@rekey/contracts';
import { addDuration } from '@rekey/domain';
import { CommandTokens, ConfigError, commandSigner, type Config, type Keys, type ServiceSender } from '@rekey/platform';
import type { Clock, SignCommand, VerifyCommand } from '@rekey/ports';
import type { ProcessContext } from './process-context';

/** Name of the sender whose key is stored under `storage.path`: this installation. */
const OWN_NAME = 'rekey';

/** Returns the connection to the configured brokers. `clientId` names the process in the broker logs. */
export const kafkaConnectionOf = (config: Config, log: KafkaLog, clientId: string): KafkaConnection => {
  const { brokers, ssl, sasl } = config.kafka;
  const { ca, cert, key, password } = config.secrets.kafka;
  const own = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  return {
    brokers,
    clientId,
    log,
    ...(ssl.enabled && { ssl: Object.keys(own).length > 0 ? own : true }),
    ...(sasl && { sasl: { mechanism: sasl.mechanism, username: sasl.username, password: password ?? '' } }),
  };
};

/** Returns the topics of the configuration. `notifiers.kafka.topic` overrides the topic of notices. */
export const kafkaTopicsOf = ({ kafka, notifiers }: Config): KafkaTopics => {
  const topics = topicsOf(kafka.topicPrefix);
  return { ...topics, notifications: notifiers.kafka.topic ?? topics.notifications };
};

/** Returns `kafka.replyTopics`, or the default patterns. */
export const replyTopicsOf = ({ kafka }: Pick<Config, 'kafka'>): readonly string[] =>
  kafka.replyTopics ?? defaultReplyTopics(kafka.topicPrefix);

/** Returns `kafka.maxCommandAge` in milliseconds, counted from now because months differ in length. */
export const maxCommandAgeMsOf = ({ kafka }: Pick<Config, 'kafka'>, clock: Clock): number => {
  const until = addDuration(clock.now(), kafka.maxCommandAge);
  return until === undefined ? Infinity : Date.parse(until) - clock.nowMs();
};

/**
 * Returns the accepted senders of commands. A key generated under `storage.path` belongs to this installation and may act
 * for everyone. A key from `access.signingKeyFile` has the rights of its entry in `access.services`.
 */
const sendersOf = ({ access }: Config, { signing }: Keys): readonly ServiceSender[] => {
  const configured = access.services as unknown as readonly ServiceSender[];
  if (access.signingKeyFile !== undefined) return configured;
  if (configured.some(({ name }) => name === OWN_NAME))
    throw new ConfigError([`access.services: the name ${OWN_NAME} is reserved for this installation`]);
  const own = { name: OWN_NAME, publicJwks: { keys: [signing.publicKey] }, roles: [...ROLES], domains: [] };
  return [...configured, { ...own, mayActFor: true }];
};

/** Returns the function that verifies signed commands. Throws `ConfigError`. */
export const verifierOf = ({ config, keys }: ProcessContext): VerifyCommand =>
  new CommandTokens(sendersOf(config, keys), config.kafka.audience).verify;

/** Returns the function that signs the commands of this process. Throws `ConfigError` if no entry accepts its key. */
export const signerOf = ({ config, keys }: ProcessContext, clock: Clock): SignCommand => {
  const { kid } = keys.signing.publicKey;
  const sender = sendersOf(config, keys).find(({ publicJwks }) => publicJwks.keys.some((key) => key.kid === kid));
  if (!sender?.mayActFor)
    throw new ConfigError([
      'access.signingKeyFile: add an entry with its public key and mayActFor: true to access.services',
    ]);
  const { audience } = config.kafka;
  return commandSigner({ name: sender.name, privateKey: keys.signing.privateKey, audience, clock });
};

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

/** Name of the sender whose key lies under `storage.path`: this installation itself. */
const OWN_NAME = 'rekey';

/** How to reach the brokers that the configuration names; `clientId` names the process in their logs. */
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

/** The topics of the configuration. A topic of notices that has a name of its own (`notifiers.kafka.topic`) is one of them. */
export const kafkaTopicsOf = ({ kafka, notifiers }: Config): KafkaTopics => {
  const topics = topicsOf(kafka.topicPrefix);
  return { ...topics, notifications: notifiers.kafka.topic ?? topics.notifications };
};

/** `kafka.replyTopics`, or what it stands for where it is left out. */
export const replyTopicsOf = ({ kafka }: Pick<Config, 'kafka'>): readonly string[] =>
  kafka.replyTopics ?? defaultReplyTopics(kafka.topicPrefix);

/** `kafka.maxCommandAge` in milliseconds, as long as it is now: months are of different lengths. */
export const maxCommandAgeMsOf = ({ kafka }: Pick<Config, 'kafka'>, clock: Clock): number => {
  const until = addDuration(clock.now(), kafka.maxCommandAge);
  return until === undefined ? Infinity : Date.parse(until) - clock.nowMs();
};

/**
 * Everybody whose commands are taken. A key that was made under `storage.path` belongs to this installation and may act
 * for everybody; one that was given as a file is worth what its entry in `access.services` says.
 */
const sendersOf = ({ access }: Config, { signing }: Keys): readonly ServiceSender[] => {
  const configured = access.services as unknown as readonly ServiceSender[];
  if (access.signingKeyFile !== undefined) return configured;
  if (configured.some(({ name }) => name === OWN_NAME))
    throw new ConfigError([`access.services: the name ${OWN_NAME} is this installation's own`]);
  const own = { name: OWN_NAME, publicJwks: { keys: [signing.publicKey] }, roles: [...ROLES], domains: [] };
  return [...configured, { ...own, mayActFor: true }];
};

/** Knows the senders of commands. Throws `ConfigError`. */
export const verifierOf = ({ config, keys }: ProcessContext): VerifyCommand =>
  new CommandTokens(sendersOf(config, keys), config.kafka.audience).verify;

/** Signs the commands of this process. Throws `ConfigError` where nobody would know its key. */
export const signerOf = ({ config, keys }: ProcessContext, clock: Clock): SignCommand => {
  const { kid } = keys.signing.publicKey;
  const sender = sendersOf(config, keys).find(({ publicJwks }) => publicJwks.keys.some((key) => key.kid === kid));
  if (!sender?.mayActFor)
    throw new ConfigError([
      'access.signingKeyFile: needs an entry in access.services with its public key and mayActFor',
    ]);
  const { audience } = config.kafka;
  return commandSigner({ name: sender.name, privateKey: keys.signing.privateKey, audience, clock });
};

export * from './permissions';
export { open, seal } from './sealing';
export { Access, type AccessOptions, type StaticToken } from './access';
export type { OidcOptions } from './oidc';
export * from './active-view';
export { CLIENT_VARIABLES, ConfigError, loadConfig, type Config, type ConfigSource, type Secrets } from './config';
export type { Adapters } from './config-engines';
export {
  KeyError,
  ensureKeys,
  makeSigningKey,
  parseSigningKey,
  type KeyFiles,
  type Keys,
  type SealingKeys,
  type SigningKeys,
} from './keys';
export {
  CommandTokens,
  commandSigner,
  routeHash,
  valueHash,
  type CommandSignerOptions,
  type ServiceSender,
} from './command-tokens';
export { createLogger, type LoggerOptions } from './logging';
export { Health, type HealthReport, type Probe } from './health';
export { Metrics, lagSeconds, type ProjectionProgress, type ViewProgress } from './metrics';
export { ObservedHasher, ObservedNotifier } from './observed';
export { TracedCommandBus, tracedAppends } from './traced';
export { openTracing, tellable, type ActiveSpan, type SpanAttributes, type SpanOptions, type Tracing } from './tracing';

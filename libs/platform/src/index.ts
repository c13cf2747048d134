export * from './access/permissions';
export { open, seal } from './keys/sealing';
export { Access, type AccessOptions, type StaticToken } from './access/access';
export type { OidcOptions } from './access/oidc';
export * from './streams/folded-streams';
export * from './views/active-view';
export {
  CLIENT_VARIABLES,
  ConfigError,
  loadConfig,
  type Config,
  type ConfigSource,
  type Secrets,
} from './config/config';
export type { Adapters } from './config/config-engines';
export {
  KeyError,
  ensureKeys,
  parseSigningKey,
  type KeyFiles,
  type Keys,
  type SealingKeys,
  type SigningKeys,
} from './keys/keys';
export {
  CommandTokens,
  commandSigner,
  routeHash,
  valueHash,
  type CommandSignerOptions,
  type ServiceSender,
} from './access/command-tokens';
export { createLogger, type LoggerOptions } from './observability/logging';
export { Health, type HealthReport, type Probe } from './observability/health';
export { Metrics, lagSeconds, type ProjectionProgress, type ViewProgress } from './observability/metrics';
export { ObservedHasher, ObservedNotifier } from './observability/observed';
export { TracedCommandBus, tracedAppends } from './observability/traced';
export { openTracing } from './observability/open-tracing';
export {
  tellable,
  type ActiveSpan,
  type SpanAttributes,
  type SpanOptions,
  type Tracing,
} from './observability/tracing';

export * from './permissions';
export { open, seal } from './sealing';
export { Access, type AccessOptions, type StaticToken } from './access';
export type { OidcOptions } from './oidc';
export * from './active-view';
export { CLIENT_VARIABLES, ConfigError, loadConfig, type Config, type ConfigSource, type Secrets } from './config';
export { KeyError, ensureKeys, type KeyFiles, type Keys, type SealingKeys } from './keys';
export { createLogger, type LoggerOptions } from './logging';

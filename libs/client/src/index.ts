export { RekeyClient, type FirstSecret } from './client';
export type { ActingFor, PrivateJwk, PublicJwk, RekeyClientOptions, SendOptions } from './options';
export type { AcceptedReply, ReplyOf, WithValue } from './replies';
export { RekeyError } from '@rekey/contracts';
export type { CommandData, CommandResult, CommandType, ErrorCode, Role } from '@rekey/contracts';
export { applicationIdOf } from '@rekey/domain';

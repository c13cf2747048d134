export { CommandHandler, type CommandHandlerOptions } from './handler';

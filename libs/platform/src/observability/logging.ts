import { destination, pino, stdTimeFunctions, type DestinationStream, type Level, type Logger } from 'pino';
import { redactLine } from './redaction';

export interface LoggerOptions {
  /** `logging.level`. */
  readonly level: Level | 'silent';
  /** Destination of the lines; default standard output. */
  readonly to?: DestinationStream;
}

const STANDARD_OUTPUT = 1;

/** Buffered: writes many lines at once, and the rest when the process exits. */
const standardOutput = (): DestinationStream => destination({ fd: STANDARD_OUTPUT, sync: false });

/**
 * Returns a logger that writes JSON lines. Redacts each line as a whole, so that secrets are found in messages, nested
 * fields, errors with their causes and stacks, and the fields of child loggers.
 */
export const createLogger = ({ level, to = standardOutput() }: LoggerOptions): Logger =>
  pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: redactLine },
    },
    to,
  );

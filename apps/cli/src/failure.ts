/** Exit codes, for scripts; docs/cli.md explains them. */
export const EXIT = {
  ok: 0,
  /** The server, or this machine, refused: asking again in the same way gives the same. */
  refused: 1,
  /** The command line itself is wrong; nothing was sent. */
  usage: 2,
  /** No answer, or one that says nothing about the matter (429, 503, 504): worth another try. */
  unreachable: 3,
  /** `rekey check`: these credentials do not authenticate. */
  credentials: 4,
  /** Accepted, but what was to stop has not been seen to stop everywhere yet. */
  pending: 5,
  /** `rekey verify`: the history was altered. */
  broken: 6,
  /** Ctrl-C at a question. */
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Why a command ends without what was asked of it: words for people, a code for scripts; never a secret. */
export class Failure extends Error {
  constructor(
    readonly exit: ExitCode,
    message: string,
    /** The server's problem document as it came, which `--json` prints in place of the words. */
    readonly problem?: string,
  ) {
    super(message);
    this.name = 'Failure';
  }
}

/** The command line is wrong in one place. */
export const usage = (message: string): Failure => new Failure(EXIT.usage, message);

const VALUE = /\b(rk[ya]_)[0-9A-Za-z_]+/g;
const OPTION_VALUE = /(unknown option '--?[\w-]+)=[^']*'/g;

/** An error's text without what somebody may have typed by mistake: a secret has no business in a terminal's log. */
export const withoutSecrets = (text: string): string => text.replace(VALUE, '$1…').replace(OPTION_VALUE, "$1'");

import type { CollectionName } from '@rekey/ports';

/** Ids that are asked for in one question at most; who asks for more asks alone. */
const IDS_MAX = 100;

interface Question<Answer> {
  readonly ids: Set<string>;
  readonly answer: Promise<Answer>;
  /** Asks it; nobody joins any more. */
  readonly send: () => void;
}

/**
 * Asks the server once for what is read by id in one turn of the event loop: a question costs several times what one more
 * document in it costs, here and there. A question goes out after all who share it have asked, so each of them sees what
 * was acknowledged before; who asks while one is on its way shares the next one. Who is alone in a turn does not wait,
 * as the end of a turn follows the reading of sockets at once.
 */
export class ReadsTogether<Answer> {
  private readonly open = new Map<CollectionName, Question<Answer>>();

  /** `find`: asks for documents of a collection; where it fails, it fails for all who share the question. */
  constructor(private readonly find: (collection: CollectionName, ids: readonly string[]) => Promise<Answer>) {}

  /** The answer to a question that has these ids, and maybe others. */
  read(collection: CollectionName, ids: readonly string[]): Promise<Answer> {
    if (ids.length > IDS_MAX) return this.find(collection, ids);
    let question = this.open.get(collection);
    if (question && question.ids.size + ids.length > IDS_MAX) {
      question.send();
      question = undefined;
    }
    question ??= this.begin(collection);
    for (const id of ids) question.ids.add(id);
    return question.answer;
  }

  private begin(collection: CollectionName): Question<Answer> {
    const ids = new Set<string>();
    let send = (): void => undefined;
    const answer = new Promise<Answer>((resolve) => {
      send = () => {
        clearImmediate(endOfTurn);
        this.open.delete(collection);
        resolve(this.find(collection, [...ids]));
      };
      const endOfTurn = setImmediate(send);
    });
    const question = { ids, answer, send };
    this.open.set(collection, question);
    return question;
  }
}

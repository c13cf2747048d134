// @ts-check
/**
 * The writing side of one SQLite file, in a thread of its own so that no fsync holds up the event loop. All requests
 * that wait are committed in one transaction, each in a savepoint: one that fails is undone alone, and none is answered
 * before the commit is on disk.
 *
 * In: `{ requests: Request[] }` or `{ close: true }`. Out: `{ ready: true }`, `{ failed: Failure }` where the file cannot
 * be opened, `{ answers: Answer[] }`.
 *
 * @typedef {{ sql: string, params?: unknown[], kind: 'run' | 'all', expectChanges?: number }} Step
 * @typedef {{ id: number, steps: Step[] }} Request
 * @typedef {{ changes: number, lastRowId: number, rows: Record<string, unknown>[] }} StepResult
 * @typedef {{ code: string, message: string, step?: number, expected?: number, actual?: number }} Failure
 * @typedef {{ id: number, results?: StepResult[], failure?: Failure }} Answer
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import Database from 'libsql';

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);

/** How many steps go into one transaction before those that waited are answered. */
const STEPS_PER_COMMIT = 2000;
const STATEMENTS_KEPT = 500;

class Missed extends Error {
  /** @param {number} step @param {number} expected @param {number} actual */
  constructor(step, expected, actual) {
    super(`Step ${step} changed ${actual} rows, expected ${expected}.`);
    this.failure = { code: 'EXPECTATION', message: this.message, step, expected, actual };
  }
}

/** @param {any} error @returns {Failure} */
const failureOf = (error) =>
  error instanceof Missed ? error.failure : { code: String(error?.code ?? 'ERROR'), message: String(error?.message) };

/** Makes an empty file a store, and refuses a database of somebody else's. @param {any} opened */
const begin = (opened) => {
  const isOurs = () => opened.prepare('PRAGMA application_id').raw().get([])[0] === workerData.applicationId;
  if (isOurs()) return;
  opened.exec('BEGIN IMMEDIATE');
  try {
    const tables = opened.prepare('SELECT count(*) FROM sqlite_schema').raw().get([])[0];
    if (!isOurs() && tables > 0) throw new Error('The file is a database of another program.');
    if (!isOurs()) for (const statement of workerData.beginning) opened.exec(statement);
    opened.exec('COMMIT');
  } catch (error) {
    if (opened.inTransaction) opened.exec('ROLLBACK');
    throw error;
  }
};

/** Switching a new file to WAL does not wait for a lock by itself, so several processes that start at once take turns. */
const open = () => {
  const deadline = Date.now() + workerData.busyTimeoutMs;
  for (;;) {
    const opened = new Database(workerData.file, { timeout: workerData.busyTimeoutMs });
    try {
      for (const statement of workerData.opening) opened.exec(statement);
      begin(opened);
      return opened;
    } catch (error) {
      opened.close();
      if (failureOf(error).code !== 'SQLITE_BUSY' || Date.now() > deadline) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
};

/** @type {Map<string, any>} */
const statements = new Map();
/** @type {any} */
let db;

/** @param {string} sql */
const prepared = (sql) => {
  const known = statements.get(sql);
  if (known) {
    statements.delete(sql);
    statements.set(sql, known);
    return known;
  }
  const made = db.prepare(sql);
  statements.set(sql, made);
  if (statements.size > STATEMENTS_KEPT) statements.delete(/** @type {string} */ (statements.keys().next().value));
  return made;
};

/** @param {Step} step @param {number} index @returns {StepResult} */
const perform = ({ sql, params = [], kind, expectChanges }, index) => {
  const statement = prepared(sql);
  /** @type {StepResult} */
  let result;
  if (kind === 'all') {
    const rows = statement.all(params);
    result = { changes: rows.length, lastRowId: 0, rows };
  } else {
    // Run by `run`, such a statement would be left in the middle of its rows and hold up every savepoint after it.
    if (statement.reader) throw new Error(`A statement that answers rows needs the kind 'all': ${sql}`);
    const { changes, lastInsertRowid } = statement.run(params);
    result = { changes, lastRowId: Number(lastInsertRowid), rows: [] };
  }
  if (expectChanges !== undefined && result.changes !== expectChanges)
    throw new Missed(index, expectChanges, result.changes);
  return result;
};

/** @param {Request} request @returns {Answer} */
const attempt = (request) => {
  db.exec('SAVEPOINT request');
  try {
    const results = request.steps.map(perform);
    db.exec('RELEASE request');
    return { id: request.id, results };
  } catch (error) {
    // A full disk or an I/O error ends the whole transaction, with what the other requests did in it.
    if (!db.inTransaction) throw error;
    db.exec('ROLLBACK TO request');
    db.exec('RELEASE request');
    return { id: request.id, failure: failureOf(error) };
  }
};

/** @param {Request[]} batch @returns {Answer[]} */
const commit = (batch) => {
  try {
    db.exec('BEGIN IMMEDIATE');
    const answers = batch.map(attempt);
    db.exec('COMMIT');
    return answers;
  } catch (error) {
    try {
      if (db.inTransaction) db.exec('ROLLBACK');
    } catch {
      // The first error says what happened; a rollback that fails leaves nothing committed either.
    }
    const failure = failureOf(error);
    return batch.map(({ id }) => ({ id, failure }));
  }
};

/** @type {Request[]} */
const queue = [];
let closing = false;

/** @param {{ requests?: Request[], close?: boolean }} message */
const take = (message) => {
  if (message.requests) queue.push(...message.requests);
  if (message.close) closing = true;
};

const takeAllThatWait = () => {
  for (let waiting = receiveMessageOnPort(port); waiting; waiting = receiveMessageOnPort(port)) take(waiting.message);
};

/** @returns {Request[]} */
const nextBatch = () => {
  let count = 0;
  let steps = 0;
  for (const request of queue) {
    steps += request.steps.length;
    if (count > 0 && steps > STEPS_PER_COMMIT) break;
    count++;
  }
  return queue.splice(0, count);
};

try {
  db = open();
  port.on('message', (message) => {
    take(message);
    for (takeAllThatWait(); queue.length > 0; takeAllThatWait()) port.postMessage({ answers: commit(nextBatch()) });
    if (!closing) return;
    statements.clear();
    db.close();
    port.close();
  });
  port.postMessage({ ready: true });
} catch (error) {
  port.postMessage({ failed: failureOf(error) });
  port.close();
}

// Creates one .d.ts for a lib, including the declarations it needs from other libs. Declarations of packages are imported.
// TypeScript emits one declaration file per source; this collects what the exports of the entry reach.
import path from 'node:path';
import ts from 'typescript';
import { root } from './build.mjs';

/** Returns the declarations of `entry`, a source file relative to the repository, as one text. Throws on type errors. */
export function declarationsOf(entry) {
  const { emitted, options } = emit(path.join(root, entry));
  const file = path.join(root, entry.replace(/\.ts$/, '.d.ts'));
  const program = ts.createProgram([file], options, hostOf(emitted, options));
  return new Collector(program, emitted).from(program.getSourceFile(file));
}

function optionsOf() {
  const { config } = ts.readConfigFile(path.join(root, 'tsconfig.base.json'), ts.sys.readFile);
  return { ...ts.parseJsonConfigFileContent({ ...config, files: [] }, ts.sys, root).options, noEmit: false };
}

/** Emits declarations next to their sources, in memory. */
function emit(entry) {
  const options = { ...optionsOf(), declaration: true, emitDeclarationOnly: true, types: ['node'] };
  const program = ts.createProgram([entry], options);
  const emitted = new Map();
  const { diagnostics } = program.emit(undefined, (name, text) => emitted.set(path.resolve(name), text));
  refuse(diagnostics);
  const paths = Object.fromEntries(
    Object.entries(options.paths).map(([alias, [source]]) => [alias, [source.replace(/\.ts$/, '.d.ts')]]),
  );
  return { emitted, options: { ...options, paths } };
}

function refuse(diagnostics) {
  if (diagnostics.length === 0) return;
  const host = { getCurrentDirectory: () => root, getCanonicalFileName: (name) => name, getNewLine: () => '\n' };
  throw new Error(ts.formatDiagnostics(diagnostics, host));
}

/** Compiler host that replaces our sources with their emitted declarations. */
function hostOf(emitted, options) {
  const host = ts.createCompilerHost(options);
  const isSource = (name) => emitted.has(name.replace(/\.ts$/, '.d.ts'));
  const { fileExists, readFile } = host;
  host.fileExists = (name) => emitted.has(name) || (!isSource(name) && fileExists(name));
  host.readFile = (name) => emitted.get(name) ?? readFile(name);
  host.getSourceFile = (name, languageVersion) => {
    const text = host.readFile(name);
    return text === undefined ? undefined : ts.createSourceFile(name, text, languageVersion, true);
  };
  return host;
}

class Collector {
  /** Statement → its text, in the order of discovery. */
  texts = new Map();
  /** Symbol → its name in the output. */
  names = new Map();
  /** `<package> <exported name>` → its import. */
  imports = new Map();

  constructor(program, emitted) {
    this.checker = program.getTypeChecker();
    this.emitted = emitted;
  }

  from(entry) {
    const exported = this.checker.getExportsOfModule(this.checker.getSymbolAtLocation(entry));
    const list = exported.map((symbol) => {
      const target = this.target(symbol);
      const name = this.add(target);
      if (name === undefined) throw new Error(`${symbol.name} is exported but not declared in this repository.`);
      const isType = !(target.flags & ts.SymbolFlags.Value);
      return `${isType ? 'type ' : ''}${name === symbol.name ? name : `${name} as ${symbol.name}`}`;
    });
    const imports = [...this.imports.values()].sort();
    return [...imports, ...this.texts.values(), `export { ${list.join(', ')} };`].join('\n') + '\n';
  }

  target(symbol) {
    return symbol.flags & ts.SymbolFlags.Alias ? this.checker.getAliasedSymbol(symbol) : symbol;
  }

  /** Adds a symbol of this repository with everything it needs. Returns its name, or undefined for other symbols. */
  add(symbol) {
    const known = this.names.get(symbol);
    if (known !== undefined) return known;
    const statements = (symbol.declarations ?? []).map(topLevelOf);
    if (statements.length === 0 || statements.some((each) => !each || !this.isOurs(each))) return undefined;
    if ([...this.names.values()].includes(symbol.name)) throw new Error(`Two declarations are named ${symbol.name}.`);
    this.names.set(symbol, symbol.name);
    for (const statement of statements)
      if (!this.texts.has(statement)) {
        this.texts.set(statement, '');
        this.texts.set(statement, this.textOf(statement));
      }
    return symbol.name;
  }

  isOurs(node) {
    return this.emitted.has(node.getSourceFile().fileName);
  }

  /** Returns the emitted text without `export` and with names instead of import types. */
  textOf(statement) {
    const changes = [];
    const visit = (node) => {
      if (ts.isImportTypeNode(node)) this.addImportType(node, changes);
      else if (ts.isIdentifier(node)) this.addIdentifier(node);
      ts.forEachChild(node, visit);
    };
    visit(statement);
    for (const modifier of statement.modifiers ?? [])
      if (modifier.kind === ts.SyntaxKind.ExportKeyword) changes.push([modifier.getStart(), modifier.getEnd() + 1, '']);
    if (
      !(statement.modifiers ?? []).some(({ kind }) => kind === ts.SyntaxKind.DeclareKeyword) &&
      needsDeclare(statement)
    )
      changes.push([statement.getStart(), statement.getStart(), 'declare ']);
    const file = statement.getSourceFile().text;
    const start = statement.getFullStart();
    return changes
      .sort(([a], [b]) => b - a)
      .reduce(
        (text, [from, to, by]) => text.slice(0, from - start) + by + text.slice(to - start),
        file.slice(start, statement.getEnd()),
      )
      .trim();
  }

  /** Replaces `import("./errors").ErrorCode` with the name, unless it is from a package. */
  addImportType(node, changes) {
    if (!node.qualifier) return;
    const symbol = this.checker.getSymbolAtLocation(node.qualifier);
    const name = symbol && this.add(this.target(symbol));
    if (name === undefined) return;
    changes.push([node.getStart(), node.qualifier.getEnd(), `${node.isTypeOf ? 'typeof ' : ''}${name}`]);
  }

  addIdentifier(node) {
    const symbol = this.checker.getSymbolAtLocation(node);
    if (!symbol) return;
    const imported = (symbol.declarations ?? []).find(
      (each) => ts.isImportSpecifier(each) || ts.isNamespaceImport(each) || ts.isImportClause(each),
    );
    const name = this.add(this.target(symbol));
    if (name === undefined) {
      if (imported) this.addImport(imported, symbol.name);
    } else if (name !== node.text && imported) {
      throw new Error(`${node.text} must be imported under its own name, ${name}.`);
    }
  }

  addImport(declaration, local) {
    let statement = declaration;
    while (!ts.isImportDeclaration(statement)) statement = statement.parent;
    if (!ts.isImportSpecifier(declaration)) throw new Error(`${statement.getText()}: use named imports.`);
    const from = statement.moduleSpecifier.text;
    const there = (declaration.propertyName ?? declaration.name).text;
    const text = `import type { ${there === local ? local : `${there} as ${local}`} } from '${from}';`;
    this.imports.set(`${from} ${there}`, text);
  }
}

/** Returns the top-level statement of a declaration, or undefined if the declaration is nested. */
function topLevelOf(declaration) {
  const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
  return node.parent && ts.isSourceFile(node.parent) ? node : undefined;
}

const needsDeclare = (statement) =>
  ts.isVariableStatement(statement) || ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement);

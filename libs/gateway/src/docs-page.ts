import type { RouteDescription } from './route';

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** Escapes text, and renders `code` as such. */
const rendered = (text: string): string => escaped(text).replace(/`([^`]+)`/g, '<code>$1</code>');

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
  h2 { margin: 2.5rem 0 .5rem; border-bottom: 1px solid #8884; }
  details { padding: .35rem 0; border-bottom: 1px solid #8882; }
  summary { cursor: pointer; display: flex; gap: .75rem; flex-wrap: wrap; align-items: baseline; }
  code, pre { font: .875rem/1.5 ui-monospace, monospace; }
  pre { background: #8881; padding: .75rem; overflow-x: auto; border-radius: .375rem; }
  .method { display: inline-block; min-width: 4.5rem; font-weight: 600; }
  .what { color: #6b7280; }
  table { border-collapse: collapse; } td { padding: .15rem 1rem .15rem 0; vertical-align: top; }
`;

const example = (title: string, value: unknown): string => {
  if (value === undefined) return '';
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  return `<p>${title}</p><pre>${escaped(text)}</pre>`;
};

const needs = ({ action }: RouteDescription): string => {
  if (action === 'public') return 'Needs no token.';
  if (action === 'proxy')
    return 'Needs the token of a proxy in <code>Rekey-Authorization</code>, or a network in <code>http.forwardAuthFrom</code>.';
  return `Needs the permission <code>${escaped(action)}</code>.`;
};

const entry = (route: RouteDescription): string => {
  const answers = Object.entries(route.answers).map(
    ([status, { description }]) => `<tr><td>${status}</td><td>${rendered(description)}</td></tr>`,
  );
  const errors = route.errors?.length
    ? `<p>Errors: ${route.errors.map((code) => `<code>${code}</code>`).join(', ')}.</p>`
    : '';
  const path = route.url.replace(/:(\w+)/g, '{$1}');
  return `<details><summary><span class="method">${route.method}</span><code>${escaped(path)}</code><span class="what">${rendered(route.summary)}</span></summary>
    <p>${needs(route)}</p><table>${answers.join('')}</table>${errors}${example('Request', route.example)}${example('Response', Object.values(route.answers)[0]?.example)}</details>`;
};

/** Returns the routes as an HTML page without scripts. It links to `/openapi.json` for the schemas. */
export const docsPage = (routes: readonly RouteDescription[], version: string): string => {
  const tags = [...new Set(routes.map((route) => route.tag))];
  const sections = tags.map((tag) => {
    const entries = routes.filter((route) => route.tag === tag).map(entry);
    return `<h2>${escaped(tag)}</h2>${entries.join('\n')}`;
  });
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Rekey API</title><style>${STYLE}</style></head>
<body>
<h1>Rekey API</h1>
<p>Version ${escaped(version)}. Send <code>Authorization: Bearer &lt;token&gt;</code>. Every error is a problem document (RFC 9457) with a
<code>code</code>. Schemas of requests and responses: <a href="/openapi.json">openapi.json</a>.</p>
${sections.join('\n')}
</body>
</html>
`;
};

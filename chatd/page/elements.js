// Short words for the document: everything shown is a text node, an attribute set by name, or a checked link.

export const $ = (id) => document.getElementById(id);

export function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

export const bytes = (text) => new TextEncoder().encode(text).length;
export const newId = () => `${Date.now()}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;

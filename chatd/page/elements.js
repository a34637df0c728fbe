// Short words for the document: everything shown is a text node, an attribute set by name, or a checked link.

export const $ = (id) => document.getElementById(id);

export function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// A button that does something; while that is under way it cannot be pressed again.
export function button(className, text, act) {
  const node = element('button', className, text);
  node.type = 'button';
  node.addEventListener('click', async () => {
    node.disabled = true;
    try {
      await act();
    } finally {
      node.disabled = false;
    }
  });
  return node;
}

// A label with its field.
export function field(label, attributes) {
  const node = element('label', 'field', label);
  const input = Object.assign(element('input'), attributes);
  node.append(input);
  return [node, input];
}

// A way elsewhere, to be taken on purpose.
export function link(address, text) {
  const node = element('a', '', text);
  Object.assign(node, { href: address, target: '_blank', rel: 'noopener noreferrer', title: address });
  return node;
}

export const bytes = (text) => new TextEncoder().encode(text).length;

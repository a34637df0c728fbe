// Shows what all lines of a chart have at the pointer.
for (const area of document.querySelectorAll('.area[data-places]')) {
  const figure = area.closest('figure');
  const places = area.dataset.places.split('|').map(Number);
  const names = area.dataset.names.split('|');
  const keys = [...figure.querySelectorAll('.key')].map((key) => [key.textContent, key.dataset.values.split('|')]);
  const hair = area.querySelector('i');
  const output = figure.querySelector('output');
  area.addEventListener('pointermove', (event) => {
    const box = area.getBoundingClientRect();
    const place = (event.clientX - box.left) / box.width;
    let at = 0;
    for (let i = 1; i < places.length; i++) {
      if (Math.abs(places[i] - place) < Math.abs(places[at] - place)) at = i;
    }
    hair.style.left = places[at] * 100 + '%';
    hair.style.display = 'block';
    const found = keys.filter(([, values]) => values[at]).map(([name, values]) => name + ' ' + values[at]);
    output.textContent = names[at] + ': ' + (found.join(', ') || 'nothing');
  });
  area.addEventListener('pointerleave', () => {
    hair.style.display = 'none';
    output.textContent = '';
  });
}

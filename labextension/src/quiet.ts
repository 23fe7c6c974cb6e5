// Keeps an answer from loading anything from elsewhere merely by being looked at.

/** Attributes that make a browser fetch what they name as soon as their element exists. */
const LOADING = ['src', 'srcset', 'poster', 'background'];

/**
 * Replace what HTML would fetch from another host: an image by a link to it, anything else by nothing.
 *
 * What an agent has read can make it write an image whose address carries what it knows; drawing that
 * image would already send it off.
 */
export function withoutRemoteLoads(html: string): string {
  // A document made by the parser loads nothing.
  const parsed = new DOMParser().parseFromString(html, 'text/html');
  const selector = LOADING.map(name => `[${name}]`).join(',');
  for (const element of parsed.body.querySelectorAll(selector)) {
    const remote = LOADING.filter(name => isRemote(element.getAttribute(name) ?? ''));
    if (element.localName === 'img' && remote.length) {
      element.replaceWith(linkTo(element, parsed));
    } else {
      remote.forEach(name => element.removeAttribute(name));
    }
  }
  return parsed.body.innerHTML;
}

function linkTo(image: Element, parsed: Document): HTMLAnchorElement {
  const address = image.getAttribute('src') ?? '';
  const link = parsed.createElement('a');
  link.href = address;
  link.textContent = image.getAttribute('alt') || address;
  return link;
}

/** Whether an address, or any of a `srcset`, leads to another host. */
function isRemote(value: string): boolean {
  return value.split(',').some(part => {
    try {
      const url = new URL(part.trim().split(/\s/)[0], document.baseURI);
      return url.origin !== location.origin && !['data:', 'blob:', 'attachment:'].includes(url.protocol);
    } catch {
      return true;
    }
  });
}

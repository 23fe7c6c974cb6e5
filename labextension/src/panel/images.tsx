// Images that go with a message.

import { closeIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { dataUrl } from './files';
import type { ChatModel, IImage } from './model/chat';
import { IconButton, usePanel } from './ui';

/** As the kernel reads them. */
const TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];

export function isImage(file: File): boolean {
  return TYPES.includes(file.type);
}

/** An image of the person's machine, to be sent with a message. */
export async function readImage(file: File): Promise<IImage> {
  return { name: file.name, url: await dataUrl(file) };
}

export function Images({ chat }: { chat: ChatModel }): JSX.Element | null {
  const { trans } = usePanel();
  if (!chat.images.length) {
    return null;
  }
  return (
    <ul className="lk-Images" aria-label={trans.__('Images of the message')}>
      {chat.images.map((image, index) => (
        <li key={index}>
          <img src={image.url} alt={image.name} title={image.name} />
          <IconButton
            icon={closeIcon}
            label={trans.__('Leave out %1', image.name)}
            onClick={() => chat.setImages(chat.images.filter(one => one !== image))}
          />
        </li>
      ))}
    </ul>
  );
}

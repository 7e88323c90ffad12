/* websocket - what a WebSocket of HTTP/2 (RFC 8441) needs where its instance speaks HTTP/1 (RFC
 * 6455): its client sends no key, so the key is ours and the answer to it is for us.
 * Pure.  Thread: any. */
#ifndef ACTIVATOR_HTTP_WEBSOCKET_H
#define ACTIVATOR_HTTP_WEBSOCKET_H

#include "activator/http/h1.h"

#define WEBSOCKET_KEY_MOST 24 /* bytes of a key in base64 (RFC 6455 4.1) */
#define WEBSOCKET_ACCEPT 28   /* bytes of the answer to it, in base64 */

/* The answer to a key, without NUL. */
void websocket_make_accept(const char *key, char accept[WEBSOCKET_ACCEPT]);
/* Does the head of a 101 have the Sec-WebSocket-Accept that answers the key (RFC 6455 4.2.2)? */
bool websocket_is_accepted(const struct h1_head *, const char *key);
/* Take the field out of fields[0..n), lines of "name: value" CRLF.  Returns what is left of n. */
size_t websocket_drop_accept(char *fields, size_t n);

#endif

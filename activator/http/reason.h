/* reason - the reason phrases of HTTP/1.1 (RFC 9110 15), which HTTP/2 has not.  Pure.  Thread:
 * any. */
#ifndef ACTIVATOR_HTTP_REASON_H
#define ACTIVATOR_HTTP_REASON_H

/* "": none is known. */
const char *reason_of(unsigned status);

#endif

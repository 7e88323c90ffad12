/* conn_world - a worker without its thread, on simulated time, with one service "s" that has one
 * instance.  The test plays a client and the instance, and lets the worker's rounds run.  There
 * is one world at a time. */
#ifndef TEST_UNIT_CONN_WORLD_H
#define TEST_UNIT_CONN_WORLD_H

#include "test/unit/unit.h"

#include "activator/bounds.h"
#include "activator/conn.h"

struct world {
	struct settings *settings;
	struct worker_conf *worker_conf;
	struct activator_conf conf;
	struct bounds bounds;
	struct loop *control;
	struct worker *w;
	struct revision *rev;
	struct instance *inst;
	struct addr inst_addr;
	uint32_t service_max_head;    /* of the service, where it is not that of the conf; else 0 */
	int listener, client, served; /* served: the instance's end of its connection */
};

extern int64_t at_ns; /* the time */
int64_t now(void);    /* for clk_replace() */

/* A worker whose conf file is text. */
struct world *make(const char *text);
/* Likewise, without routes. */
struct world *make_unrouted(const char *text);
void make_routes(struct world *);
void end(struct world **);

/* Run rounds until all that can happen has happened. */
void rounds(struct world *);
/* Let ns pass; the timer fires in the next round. */
void pass_time(struct world *, int64_t ns);

/* Connect t->client. */
struct conn *connect_client(struct world *);
/* As connect_client(), over TCP, which can be reset, with small buffers. */
struct conn *connect_over_tcp(struct world *);
void say(int fd, const char *text);
/* Read all there is; *is_eof: up to the end.  text: the last bytes.  Returns their number. */
size_t hear(int fd, char *text, size_t size, bool *is_eof);
/* The client sends a request, and the instance receives it. */
void ask(struct world *, const char *request);
/* close(fd) will send a reset. */
void reset_on_close(int fd);

/* text, n times byte, end_text.  The result is the caller's. */
char *padded(const char *text, char byte, size_t n, const char *end_text);

#endif

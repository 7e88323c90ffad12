#include "autoscaler/keeper/output.h"

#include <string.h>

#include "common/clk.h"

void
output_init(struct output *o, int64_t now_ns)
{
	o->len = 0;
	o->tokens = OUTPUT_BURST;
	o->filled_ns = now_ns;
	o->dropped = 0;
	o->is_holding = false;
	o->keep = NULL;
	strbuf_init(&o->tail, 0);
}

void
output_keep(struct output *o, output_keep_fn *keep, void *arg)
{
	o->keep = keep;
	o->keep_arg = arg;
}

void
output_fini(struct output *o)
{
	strbuf_fini(&o->tail);
}

static void
refill(struct output *o, int64_t now_ns)
{
	double s = (double)(now_ns - o->filled_ns) / (double)CLK_S;

	o->tokens = MIN(o->tokens + s * OUTPUT_RATE, OUTPUT_BURST);
	o->filled_ns = now_ns;
}

/* Beyond `most` bytes drop the oldest lines, down to OUTPUT_TAIL. */
static void
trim_tail(struct output *o, size_t most)
{
	const char *data = o->tail.data;
	size_t at, i;

	if (o->tail.len <= most)
		return;
	at = o->tail.len - OUTPUT_TAIL;
	while (at < o->tail.len && data[at - 1] != '\n')
		at++;
	for (i = 0; i < at; i++)
		o->dropped += data[i] == '\n';
	strbuf_consume(&o->tail, at);
}

static void
hold(struct output *o, const char *line, size_t n)
{
	(void)strbuf_add(&o->tail, line, n); /* cannot fail: tail has no ceiling */
	(void)strbuf_add(&o->tail, "\n", 1);
	trim_tail(o, 2 * OUTPUT_TAIL); /* at twice the size, so that each byte moves at most once */
}

static void
pass(struct output *o, const char *line, size_t n, output_fn *fn, void *arg)
{
	if (n > 0 && line[n - 1] == '\r')
		n--;
	if (o->keep != NULL && (o->is_holding || o->tokens >= 1))
		o->keep(line, n, o->keep_arg);
	if (o->is_holding) {
		hold(o, line, n);
	} else if (o->tokens >= 1 && fn(line, n, arg)) {
		o->tokens -= 1;
	} else {
		o->dropped++;
	}
}

/* Append n bytes to the line under way, and pass each piece that is full. */
static void
append(struct output *o, const char *data, size_t n, output_fn *fn, void *arg)
{
	while (n > 0) {
		size_t take = MIN(n, OUTPUT_LINE_MAX - o->len);

		memcpy(o->line + o->len, data, take);
		o->len += take;
		data += take;
		n -= take;
		if (o->len == OUTPUT_LINE_MAX && n > 0) {
			pass(o, o->line, o->len, fn, arg);
			o->len = 0;
		}
	}
}

static void
end_line(struct output *o, output_fn *fn, void *arg)
{
	pass(o, o->line, o->len, fn, arg);
	o->len = 0;
}

void
output_feed(struct output *o, const char *data, size_t n, int64_t now_ns, output_fn *fn, void *arg)
{
	const char *newline;

	refill(o, now_ns);
	while ((newline = memchr(data, '\n', n)) != NULL) {
		size_t len = (size_t)(newline - data);

		append(o, data, len, fn, arg);
		end_line(o, fn, arg);
		data += len + 1;
		n -= len + 1;
	}
	append(o, data, n, fn, arg);
}

void
output_end(struct output *o, int64_t now_ns, output_fn *fn, void *arg)
{
	refill(o, now_ns);
	if (o->len > 0)
		end_line(o, fn, arg);
}

void
output_hold(struct output *o)
{
	o->is_holding = true;
}

void
output_release(struct output *o, output_fn *fn, void *arg)
{
	const char *at, *end, *newline;
	struct strbuf held;

	trim_tail(o, OUTPUT_TAIL);
	held = o->tail;
	strbuf_init(&o->tail, 0);
	o->is_holding = false;
	at = strbuf_str(&held);
	end = at + held.len;
	while (at != end && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		if (!fn(at, (size_t)(newline - at), arg))
			o->dropped++;
		at = newline + 1;
	}
	strbuf_fini(&held);
}

uint64_t
output_take_dropped(struct output *o)
{
	uint64_t n = o->dropped;

	o->dropped = 0;
	return n;
}

#include "autoscaler/versions/rollout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/jget.h"
#include "common/jput.h"
#include "common/settings_units.h"
#include "common/tally.h"
#include "common/text.h"

#define FACTOR_MAX 1000.0
#define OVER_MAX_MS INT64_C(31536000000) /* a year */

static const char *const state_names[ROLLOUT_STATES_N] = {
#define X(id, name) [ROLLOUT_##id] = #name,
	ROLLOUT_STATES(X)
#undef X
};

const char *
rollout_state_name(enum rollout_state state)
{
	return state_names[state];
}

/* --- what is asked for --- */

/* Which requests a bound counts, by its first word. */
static const struct {
	const char *word;
	unsigned ends;
} counted[] = {{"errors", 1u << TALLY_5XX | 1u << TALLY_FAILED},
	       {"5xx", 1u << TALLY_5XX},
	       {"4xx", 1u << TALLY_4XX},
	       {"failed", 1u << TALLY_FAILED},
	       {"abandoned", 1u << TALLY_ABANDONED}};

/* A number of 0 to max, then `unit`, and nothing else. */
static bool
parse_number(const char *text, const char *unit, double max, double *out)
{
	size_t n = strlen(text), k = strlen(unit), digits = strspn(text, "0123456789.");

	if (digits == 0 || digits + k != n || strcmp(text + digits, unit) != 0)
		return false;
	*out = strtod(text, NULL);
	return isfinite(*out) && *out <= max;
}

static bool
parse_measure(struct rollout_bound *b, const char *text, size_t n)
{
	char number[16];
	double percent;
	size_t i;

	for (i = 0; i < ARRAY_LEN(counted); i++)
		if (text_is(text, n, counted[i].word)) {
			b->ends = counted[i].ends;
			return true;
		}
	if (n < 2 || n >= sizeof number || text[0] != 'p')
		return false;
	memcpy(number, text + 1, n - 1);
	number[n - 1] = '\0';
	if (!parse_number(number, "", 99.9999, &percent) || percent < 1)
		return false;
	b->part = 1 - percent / 100;
	return true;
}

static bool
parse_limit(struct rollout_bound *b, const char *text)
{
	double ns = 0;

	b->is_relative = parse_number(text, "x", FACTOR_MAX, &b->factor);
	if (b->is_relative)
		return b->factor >= 1;
	if (b->ends != 0) {
		if (!parse_number(text, "%", 100, &b->part))
			return false;
		b->part /= 100;
		return true;
	}
	if (units_parse(KEY_DURATION, text, &ns) < 0 || ns < (double)CLK_MS ||
	    ns > (double)(600 * CLK_S))
		return false;
	b->limit_ns = (int64_t)ns;
	return true;
}

int
rollout_bound_parse(struct rollout_bound *b, const char *text, struct err *e)
{
	const char *at = strchr(text, '>');

	*b = (struct rollout_bound){.text = NULL};
	if (at == NULL || !parse_measure(b, text, (size_t)(at - text)))
		return err_set(
			e, 0,
			"expected a bound such as errors>1%%, 5xx>2x, p99>500ms or p95>1.5x, "
			"got \"%s\"",
			text);
	if (!parse_limit(b, at + 1))
		return err_set(
			e, 0, "expected %s or a factor of 1 or more (2x) behind \">\", got \"%s\"",
			b->ends != 0 ? "a percent (1%)" : "a duration of 1ms to 10m (500ms)", text);
	b->text = xstrdup(text);
	return 0;
}

int
rollout_bound_add(struct rollout_plan *p, const char *text, struct err *e)
{
	if (p->bounds_n == ROLLOUT_BOUNDS_MAX)
		return err_set(e, 0, "expected at most %d bounds", ROLLOUT_BOUNDS_MAX);
	if (rollout_bound_parse(&p->bounds[p->bounds_n], text, e) < 0)
		return -1;
	p->bounds_n++;
	return 0;
}

static int
check_steps(const struct rollout_plan *p, const char *text, struct err *e)
{
	size_t i;

	for (i = 0; i < p->steps_n; i++)
		if (p->steps[i] == 0 || p->steps[i] > 100 ||
		    (i > 0 && p->steps[i] <= p->steps[i - 1]))
			break;
	if (p->steps_n > 0 && i == p->steps_n && p->steps[i - 1] == 100)
		return 0;
	return err_set(e, 0, "expected percents that rise to 100, such as 1,10,50,100, got \"%s\"",
		       text);
}

int
rollout_steps_parse(struct rollout_plan *p, const char *text, struct err *e)
{
	const char *at = text;

	p->steps_n = 0;
	for (;;) {
		size_t n = strcspn(at, ",");
		size_t digits = n > 0 && at[n - 1] == '%' ? n - 1 : n;

		if (p->steps_n == ROLLOUT_STEPS_MAX)
			return err_set(e, 0, "expected at most %d steps", ROLLOUT_STEPS_MAX);
		if (!text_number(at, digits, 100, &p->steps[p->steps_n]))
			p->steps[p->steps_n] = 0;
		p->steps_n++;
		if (at[n] == '\0')
			return check_steps(p, text, e);
		at += n + 1;
	}
}

/* --- life --- */

struct rollout *
rollout_new(const char *to)
{
	struct rollout *r = xcalloc(1, sizeof *r);

	r->to = xstrdup(to);
	return r;
}

struct rollout *
rollout_copy(const struct rollout *from)
{
	struct rollout *r;
	size_t i;

	if (from == NULL)
		return NULL;
	r = xcalloc(1, sizeof *r);
	*r = *from;
	r->to = xstrdup(from->to);
	r->reason = text_copy(from->reason);
	for (i = 0; i < r->plan.bounds_n; i++)
		r->plan.bounds[i].text = xstrdup(from->plan.bounds[i].text);
	r->before = xcalloc(from->before_n + 1, sizeof *r->before);
	for (i = 0; i < r->before_n; i++)
		r->before[i] = (struct rollout_share){.revision = xstrdup(from->before[i].revision),
						      .percent = from->before[i].percent,
						      .latest = from->before[i].latest};
	return r;
}

void
rollout_free(struct rollout **rp)
{
	struct rollout *r = *rp;
	size_t i;

	*rp = NULL;
	if (r == NULL)
		return;
	for (i = 0; i < r->plan.bounds_n; i++)
		free(r->plan.bounds[i].text);
	for (i = 0; i < r->before_n; i++)
		free(r->before[i].revision);
	free(r->before);
	free(r->reason);
	free(r->to);
	free(r);
}

/* --- how far it is --- */

bool
rollout_is_active(const struct rollout *r)
{
	return r != NULL && (r->state == ROLLOUT_RUNNING || r->state == ROLLOUT_PAUSED);
}

int64_t
rollout_step_ns(const struct rollout *r)
{
	return r->plan.over_ns / (int64_t)r->plan.steps_n;
}

uint32_t
rollout_percent(const struct rollout *r)
{
	return r->step == 0 ? 0 : r->plan.steps[r->step - 1];
}

uint32_t
rollout_next_percent(const struct rollout *r)
{
	return r->step == r->plan.steps_n ? 0 : r->plan.steps[r->step];
}

bool
rollout_names(const struct rollout *r, const char *revision)
{
	size_t i;

	for (i = 0; i < r->before_n; i++)
		if (strcmp(r->before[i].revision, revision) == 0)
			return true;
	return strcmp(r->to, revision) == 0;
}

void
rollout_split(const struct rollout *r, uint32_t percent, uint32_t *shares)
{
	uint32_t sum = 0, given = 0, rest = 100 - percent;
	size_t i, largest = r->before_n;

	for (i = 0; i < r->before_n; i++)
		sum += strcmp(r->before[i].revision, r->to) == 0 ? 0 : r->before[i].percent;
	for (i = 0; i < r->before_n; i++) {
		if (strcmp(r->before[i].revision, r->to) == 0) {
			shares[i] = percent;
			continue;
		}
		if (largest == r->before_n || r->before[i].percent > r->before[largest].percent)
			largest = i;
		shares[i] = sum == 0 ? 0 : r->before[i].percent * rest / sum;
		given += shares[i];
	}
	if (largest < r->before_n) /* what rounding leaves over goes to the largest of them */
		shares[largest] += rest - given;
}

uint32_t
rollout_weight(const struct rollout *r, const char *revision)
{
	uint32_t percent = rollout_percent(r), sum = 0, own = 0;
	size_t i;

	for (i = 0; i < r->before_n; i++) {
		if (strcmp(r->before[i].revision, r->to) == 0)
			continue;
		sum += r->before[i].percent;
		if (strcmp(r->before[i].revision, revision) == 0)
			own += r->before[i].percent;
	}
	return strcmp(revision, r->to) == 0 ? percent * sum : own * (100 - percent);
}

/* --- its form in the document --- */

static void
put_plan(const struct rollout_plan *p, struct jput *j)
{
	size_t i;

	jput_i64(j, "over_ms", p->over_ns / CLK_MS);
	jput_array(j, "steps");
	for (i = 0; i < p->steps_n; i++)
		jput_u64(j, NULL, p->steps[i]);
	jput_array_end(j);
	jput_u64(j, "min_requests", p->min_requests);
	jput_array(j, "abort_if");
	for (i = 0; i < p->bounds_n; i++)
		jput_string(j, NULL, p->bounds[i].text);
	jput_array_end(j);
}

void
rollout_put(const struct rollout *r, struct jput *j)
{
	size_t i;

	jput_u64(j, "id", r->id);
	jput_string(j, "to", r->to);
	jput_string(j, "state", state_names[r->state]);
	put_plan(&r->plan, j);
	jput_array(j, "before");
	for (i = 0; i < r->before_n; i++) {
		jput_object(j, NULL);
		jput_string(j, "revision", r->before[i].revision);
		jput_u64(j, "percent", r->before[i].percent);
		if (r->before[i].latest > 0)
			jput_u64(j, "latest", r->before[i].latest);
		jput_object_end(j);
	}
	jput_array_end(j);
	jput_u64(j, "step", r->step);
	jput_i64(j, "spent_ms", r->spent_ns / CLK_MS);
	jput_i64(j, "since", r->since_s);
	jput_i64(j, "began", r->began_s);
	if (r->ended_s > 0)
		jput_i64(j, "ended", r->ended_s);
	jput_string_if(j, "reason", r->reason);
}

static int
get_steps(struct rollout_plan *p, const struct jget *at, struct err *e)
{
	struct jget array;
	uint64_t percent;
	size_t n = 0, i;

	if (jget_array(at, "steps", JGET_MUST, &array, &n, e) < 0)
		return -1;
	if (n > ROLLOUT_STEPS_MAX)
		return jget_fail(at, "steps", e, "expected at most %d", ROLLOUT_STEPS_MAX);
	for (i = 0; i < n; i++) {
		if (jget_element_u64(&array, i, &percent, e) < 0)
			return -1;
		p->steps[i] = (uint32_t)MIN(percent, 101u);
	}
	p->steps_n = n;
	return check_steps(p, "other steps", e);
}

static int
get_plan(struct rollout_plan *p, const struct jget *at, struct err *e)
{
	struct jget array;
	int64_t over_ms = 0;
	const char *text;
	size_t n = 0, i;

	if (jget_i64(at, "over_ms", JGET_MUST, 0, OVER_MAX_MS, &over_ms, e) < 0 ||
	    get_steps(p, at, e) < 0 ||
	    jget_u64(at, "min_requests", JGET_MUST, &p->min_requests, e) < 0 ||
	    jget_array(at, "abort_if", JGET_MUST, &array, &n, e) < 0)
		return -1;
	p->over_ns = over_ms * CLK_MS;
	for (i = 0; i < n; i++)
		if (jget_element_string(&array, i, &text, e) < 0 ||
		    rollout_bound_add(p, text, e) < 0)
			return -1;
	return 0;
}

static int
get_before(struct rollout *r, const struct jget *at, struct err *e)
{
	struct jget array, element;
	uint32_t sum = 0;
	size_t n = 0, i;

	if (jget_array(at, "before", JGET_MUST, &array, &n, e) < 0)
		return -1;
	r->before = xcalloc(n + 1, sizeof *r->before);
	for (i = 0; i < n; i++) {
		struct rollout_share *share = &r->before[i];

		r->before_n++;
		if (jget_element(&array, i, &element, e) < 0 ||
		    jget_string(&element, "revision", JGET_MUST, &share->revision, e) < 0 ||
		    jget_u32(&element, "percent", JGET_MUST, &share->percent, e) < 0 ||
		    jget_u32(&element, "latest", JGET_MAY, &share->latest, e) < 0)
			return -1;
		sum += MIN(share->percent, 101u);
	}
	return sum == 100 ? 0 : jget_fail(at, "before", e, "expected percents that sum to 100");
}

static int
get_state(struct rollout *r, const struct jget *at, struct err *e)
{
	int64_t spent_ms = 0;
	uint32_t step = 0;
	int state = 0;

	if (jget_u64(at, "id", JGET_MUST, &r->id, e) < 0 ||
	    jget_word(at, "state", JGET_MUST, state_names, ROLLOUT_STATES_N, &state, e) < 0 ||
	    jget_u32(at, "step", JGET_MUST, &step, e) < 0 ||
	    jget_i64(at, "spent_ms", JGET_MUST, 0, INT64_MAX, &spent_ms, e) < 0 ||
	    jget_i64(at, "since", JGET_MUST, 0, INT64_MAX, &r->since_s, e) < 0 ||
	    jget_i64(at, "began", JGET_MUST, 0, INT64_MAX, &r->began_s, e) < 0 ||
	    jget_i64(at, "ended", JGET_MAY, 0, INT64_MAX, &r->ended_s, e) < 0 ||
	    jget_string(at, "reason", JGET_MAY, &r->reason, e) < 0)
		return -1;
	if (step > r->plan.steps_n)
		return jget_fail(at, "step", e, "expected at most %zu", r->plan.steps_n);
	r->state = (enum rollout_state)state;
	r->step = step;
	r->spent_ns = MIN(MIN(spent_ms, OVER_MAX_MS) * CLK_MS, rollout_step_ns(r));
	return 0;
}

struct rollout *
rollout_get(const struct jget *at, struct err *e)
{
	struct rollout *r = xcalloc(1, sizeof *r);

	if (jget_string(at, "to", JGET_MUST, &r->to, e) < 0 || get_plan(&r->plan, at, e) < 0 ||
	    get_before(r, at, e) < 0 || get_state(r, at, e) < 0)
		rollout_free(&r);
	return r;
}

#include "autoscaler/kubernetes/kube_scale.h"

#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define OVERRULE_FIRST (1 * SECOND)
#define OVERRULE_MOST (900 * SECOND)
#define OVERRULE_CALM (1800 * SECOND) /* nobody else for so long: the back-off is forgotten */
#define RETRY_FIRST (SECOND / 20)
#define RETRY_MOST (2 * SECOND)

static size_t
digits(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return s[n] == '\0' ? n : 0;
}

bool
kube_rv_is_older(const char *a, const char *b)
{
	size_t a_n = digits(a), b_n = digits(b);

	if (a_n == 0 || b_n == 0)
		return false;
	return a_n != b_n ? a_n < b_n : strcmp(a, b) < 0;
}

void
kube_scale_init(struct kube_scale *s, bool is_overruling)
{
	*s = (struct kube_scale){.is_overruling = is_overruling};
	backoff_init(&s->overrule, OVERRULE_FIRST, OVERRULE_MOST);
	backoff_init(&s->retry, RETRY_FIRST, RETRY_MOST);
}

uint32_t
kube_scale_now(const struct kube_scale *s)
{
	return s->is_echo_due ? s->sent : s->seen;
}

void
kube_scale_wish(struct kube_scale *s, uint32_t n)
{
	bool is_wake = n > 0 && kube_scale_now(s) == 0;

	s->wish = n;
	s->has_wish = true;
	/* To zero and back is ours to do, whoever holds it in between. */
	if (n == 0 || is_wake)
		s->is_theirs = false;
	if (is_wake)
		s->overrule_ns = 0;
}

/* The watch has come to what we set, or past it. */
static bool
is_echo(const struct kube_scale *s, uint32_t replicas, const char *rv)
{
	if (digits(rv) == 0 || digits(s->sent_rv) == 0)
		return strcmp(rv, s->sent_rv) == 0 || replicas == s->sent;
	return !kube_rv_is_older(rv, s->sent_rv);
}

static void
note_theirs(struct kube_scale *s, int64_t now_ns, uint32_t random)
{
	if (!s->is_overruling) {
		s->is_theirs = true;
		return;
	}
	if (s->overruled_ns != 0 && now_ns - s->overruled_ns > OVERRULE_CALM)
		backoff_reset(&s->overrule);
	s->overruled_ns = now_ns;
	s->overrule_ns = now_ns + backoff_next(&s->overrule, random);
}

/* What we see is not what was there before. */
static bool
judge(struct kube_scale *s, uint32_t before, int64_t now_ns, uint32_t random)
{
	if (s->seen == before || (s->is_unsure && s->seen == s->sent))
		return false;
	if (s->has_wish && s->seen == s->wish)
		return false; /* whoever it was, we agree */
	note_theirs(s, now_ns, random);
	return true;
}

bool
kube_scale_see(struct kube_scale *s, uint32_t replicas, const char *rv, int64_t now_ns,
	       uint32_t random)
{
	uint32_t before = kube_scale_now(s);
	bool is_first = !s->is_seen;

	if (s->is_seen && kube_rv_is_older(rv, s->seen_rv))
		return false; /* a GET that was overtaken */
	s->is_seen = true;
	s->seen = replicas;
	snprintf(s->seen_rv, sizeof s->seen_rv, "%s", rv);
	if (s->is_echo_due && !is_echo(s, replicas, rv))
		return false;
	s->is_echo_due = false;
	/* While ours is on its way, its answer will tell which came first. */
	return !is_first && !s->is_sending && judge(s, before, now_ns, random);
}

void
kube_scale_gone(struct kube_scale *s)
{
	s->is_seen = s->is_echo_due = s->is_theirs = false;
	s->seen = 0;
	s->seen_rv[0] = '\0';
}

void
kube_scale_sync(struct kube_scale *s)
{
	s->is_echo_old = s->is_echo_due;
	s->seen_rv[0] = '\0';
}

void
kube_scale_synced(struct kube_scale *s)
{
	if (s->is_echo_old || digits(s->sent_rv) == 0)
		s->is_echo_due = false;
	s->is_echo_old = false;
}

bool
kube_scale_next(const struct kube_scale *s, int64_t now_ns, uint32_t *n, int64_t *wait_ns)
{
	int64_t at = MAX(s->overrule_ns, s->retry_ns);

	*wait_ns = 0;
	if (s->is_sending || !s->has_wish || !s->is_seen || s->is_theirs ||
	    s->wish == kube_scale_now(s))
		return false;
	if (at > now_ns) {
		*wait_ns = at - now_ns;
		return false;
	}
	*n = s->wish;
	return true;
}

void
kube_scale_sent(struct kube_scale *s, uint32_t n)
{
	s->is_sending = true;
	s->sent = n;
	s->overrule_ns = s->retry_ns = 0;
}

bool
kube_scale_answered(struct kube_scale *s, uint32_t n, const char *rv, int64_t now_ns,
		    uint32_t random)
{
	s->is_sending = s->is_unsure = s->is_echo_old = false;
	s->sent = n;
	snprintf(s->sent_rv, sizeof s->sent_rv, "%s", rv);
	backoff_reset(&s->retry);
	if (digits(rv) == 0 || digits(s->seen_rv) == 0)
		s->is_echo_due = s->seen != n;
	else
		s->is_echo_due = kube_rv_is_older(s->seen_rv, rv);
	/* The watch may have been quicker than the answer. */
	return !s->is_echo_due && judge(s, n, now_ns, random);
}

void
kube_scale_failed(struct kube_scale *s, int64_t now_ns, int64_t delay)
{
	s->is_sending = false;
	s->is_unsure = true;
	s->retry_ns = now_ns + delay;
}

void
kube_scale_retry(struct kube_scale *s)
{
	s->retry_ns = 0;
}

/* kube_replicas: whose number it is, and when ours is sent. */
#include "test/unit/unit.h"

#include "autoscaler/kubernetes/kube_replicas.h"
#include "common/clk.h"

/* One step: what happens, and what holds after it. */
struct step {
	enum { WISH, SEE, SEND, ANSWER, FAIL, RETRY, GONE, SYNC, SYNCED, TIME } what;
	uint32_t n;
	const char *rv;
	bool is_foreign; /* said by SEE or ANSWER */
	int next;	 /* what would be set now; NONE, or LATER: after a wait */
};

enum { NONE = -1, LATER = -2 };

static int64_t now_ns;

static bool
take(struct kube_replicas *s, const struct step *step)
{
	switch (step->what) {
	case WISH:
		kube_replicas_want(s, step->n);
		return false;
	case SEE:
		return kube_replicas_observe(s, step->n, step->rv, now_ns, UINT32_MAX);
	case SEND:
		kube_replicas_patch_sent(s, step->n);
		return false;
	case ANSWER:
		return kube_replicas_patch_done(s, step->n, step->rv, now_ns, UINT32_MAX);
	case FAIL:
		kube_replicas_patch_failed(s, now_ns, CLK_S);
		return false;
	case RETRY:
		kube_replicas_retry_now(s);
		return false;
	case SYNC:
		kube_replicas_list_begin(s);
		return false;
	case SYNCED:
		kube_replicas_list_end(s);
		return false;
	case GONE:
		kube_replicas_gone(s);
		return false;
	default:
		now_ns += step->n * CLK_S;
		return false;
	}
}

static int
next_of(const struct kube_replicas *s)
{
	int64_t wait;
	uint32_t n;

	if (kube_replicas_due(s, now_ns, &n, &wait))
		return (int)n;
	return wait > 0 ? LATER : NONE;
}

static void
play(bool is_overruling, const struct step *v, size_t n)
{
	struct kube_replicas s;
	size_t i;

	now_ns = CLK_S;
	kube_replicas_init(&s, is_overruling);
	for (i = 0; i < n; i++) {
		bool is_foreign = take(&s, &v[i]);
		int next = next_of(&s);

		if (is_foreign != v[i].is_foreign || next != v[i].next)
			fail_msg("step %zu: foreign %d, expected %d; next %d, expected %d", i,
				 is_foreign, v[i].is_foreign, next, v[i].next);
	}
}

#define PLAY(is_overruling, ...)                                                                   \
	do {                                                                                       \
		static const struct step v_[] = {__VA_ARGS__};                                     \
		play(is_overruling, v_, ARRAY_LEN(v_));                                            \
	} while (0)

static void
nothing_is_set_before_it_has_been_seen(void **state)
{
	(void)state;
	PLAY(false, {WISH, 3, NULL, false, NONE}, {SEE, 0, "10", false, 3},
	     {SEND, 3, NULL, false, NONE}, {ANSWER, 3, "11", false, NONE},
	     {SEE, 3, "11", false, NONE}, {GONE, 0, NULL, false, NONE}, {SEE, 0, "20", false, 3});
}

static void
older_news_are_not_believed(void **state)
{
	(void)state;
	/* the watch lags behind our own answer */
	PLAY(false, {SEE, 0, "10", false, NONE}, {WISH, 1, NULL, false, 1},
	     {SEND, 1, NULL, false, NONE}, {ANSWER, 1, "12", false, NONE},
	     {SEE, 0, "11", false, NONE}, {SEE, 1, "12", false, NONE}, {SEE, 1, "13", false, NONE});
	/* or is ahead of it */
	PLAY(false, {SEE, 0, "10", false, NONE}, {WISH, 1, NULL, false, 1},
	     {SEND, 1, NULL, false, NONE}, {SEE, 1, "12", false, NONE}, {SEE, 1, "13", false, NONE},
	     {ANSWER, 1, "12", false, NONE});
	/* 9 is older than 10 */
	PLAY(false, {SEE, 0, "9", false, NONE}, {WISH, 1, NULL, false, 1},
	     {SEND, 1, NULL, false, NONE}, {ANSWER, 1, "10", false, NONE},
	     {SEE, 0, "9", false, NONE}, {SEE, 1, "10", false, NONE});
}

static void
what_is_told_anew_holds(void **state)
{
	(void)state;
	/* a cluster that was restored from an older state */
	PLAY(false, {SEE, 0, "900", false, NONE}, {WISH, 1, NULL, false, 1},
	     {SEND, 1, NULL, false, NONE}, {ANSWER, 1, "901", false, NONE},
	     {SYNC, 0, NULL, false, NONE}, {SEE, 0, "500", false, NONE},
	     {SYNCED, 0, NULL, false, 1}, {SEND, 1, NULL, false, NONE},
	     {ANSWER, 1, "501", false, NONE}, {SEE, 1, "501", false, NONE});
	/* a list that was begun before our PATCH was answered */
	PLAY(false, {SEE, 0, "10", false, NONE}, {WISH, 1, NULL, false, 1},
	     {SEND, 1, NULL, false, NONE}, {SYNC, 0, NULL, false, NONE},
	     {ANSWER, 1, "12", false, NONE}, {SEE, 0, "11", false, NONE},
	     {SYNCED, 0, NULL, false, NONE}, {SEE, 1, "12", false, NONE});
}

static void
the_newest_wish_wins(void **state)
{
	(void)state;
	PLAY(false, {SEE, 0, "1", false, NONE}, {WISH, 1, NULL, false, 1},
	     {SEND, 1, NULL, false, NONE}, {WISH, 5, NULL, false, NONE}, {ANSWER, 1, "2", false, 5},
	     {SEE, 1, "2", false, 5}, {SEND, 5, NULL, false, NONE}, {SEE, 5, "3", false, NONE},
	     {ANSWER, 5, "3", false, NONE});
}

static void
what_failed_is_tried_again_and_may_have_happened(void **state)
{
	(void)state;
	PLAY(false, {SEE, 0, "1", false, NONE}, {WISH, 1, NULL, false, 1},
	     {SEND, 1, NULL, false, NONE}, {FAIL, 0, NULL, false, LATER}, {TIME, 1, NULL, false, 1},
	     {SEND, 1, NULL, false, NONE}, {ANSWER, 1, "2", false, NONE});
	/* it had been carried out, and we want another one by now */
	PLAY(false, {SEE, 0, "1", false, NONE}, {WISH, 1, NULL, false, 1},
	     {SEND, 1, NULL, false, NONE}, {FAIL, 0, NULL, false, LATER},
	     {WISH, 2, NULL, false, LATER}, {SEE, 1, "2", false, LATER}, {TIME, 1, NULL, false, 2});
	/* the server is back: what is left of the delay is not waited for */
	PLAY(false, {SEE, 0, "1", false, NONE}, {WISH, 1, NULL, false, 1},
	     {SEND, 1, NULL, false, NONE}, {FAIL, 0, NULL, false, LATER},
	     {RETRY, 0, NULL, false, 1});
}

static void
another_hand_is_respected(void **state)
{
	(void)state;
	PLAY(false, {SEE, 1, "1", false, NONE}, {WISH, 1, NULL, false, NONE},
	     {SEE, 5, "2", true, NONE}, {WISH, 3, NULL, false, NONE}, {SEE, 4, "3", true, NONE},
	     /* to zero is ours */
	     {WISH, 0, NULL, false, 0}, {SEND, 0, NULL, false, NONE}, {ANSWER, 0, "4", false, NONE},
	     {SEE, 0, "4", false, NONE},
	     /* and theirs again if they do not agree */
	     {SEE, 2, "5", true, NONE},
	     /* from zero is ours, too */
	     {SEE, 0, "6", false, NONE}, {WISH, 2, NULL, false, 2});
	/* it agrees with us */
	PLAY(false, {SEE, 1, "1", false, NONE}, {WISH, 1, NULL, false, NONE},
	     {WISH, 3, NULL, false, 3}, {SEE, 3, "2", false, NONE});
	/* it came while ours was on its way: before it, and after it */
	PLAY(false, {SEE, 1, "1", false, NONE}, {WISH, 2, NULL, false, 2},
	     {SEND, 2, NULL, false, NONE}, {SEE, 7, "2", false, NONE},
	     {ANSWER, 2, "3", false, NONE}, {SEE, 2, "3", false, NONE});
	PLAY(false, {SEE, 1, "1", false, NONE}, {WISH, 2, NULL, false, 2},
	     {SEND, 2, NULL, false, NONE}, {SEE, 2, "2", false, NONE}, {SEE, 7, "3", false, NONE},
	     {ANSWER, 2, "2", true, NONE});
}

static void
another_hand_is_overruled_but_not_fought(void **state)
{
	(void)state;
	PLAY(true, {SEE, 1, "1", false, NONE}, {WISH, 1, NULL, false, NONE},
	     {SEE, 5, "2", true, LATER}, {TIME, 1, NULL, false, 1}, {SEND, 1, NULL, false, NONE},
	     {ANSWER, 1, "3", false, NONE}, {SEE, 5, "4", true, LATER},
	     {TIME, 1, NULL, false, LATER}, {TIME, 1, NULL, false, 1}, {SEND, 1, NULL, false, NONE},
	     {ANSWER, 1, "5", false, NONE}, {SEE, 0, "6", true, LATER},
	     /* who waits is woken all the same */
	     {WISH, 1, NULL, false, 1});
}

static void
the_back_off_against_another_hand_has_a_bound(void **state)
{
	struct kube_replicas s;
	uint32_t n, times = 0;
	int64_t wait, rv = 10;
	char text[20];

	(void)state;
	now_ns = CLK_S;
	kube_replicas_init(&s, true);
	assert_false(kube_replicas_observe(&s, 1, "1", now_ns, 0));
	kube_replicas_want(&s, 1);
	while (now_ns < 3600 * CLK_S) { /* an hour with one who never gives way */
		snprintf(text, sizeof text, "%lld", (long long)++rv);
		assert_true(kube_replicas_observe(&s, 5, text, now_ns, UINT32_MAX));
		while (!kube_replicas_due(&s, now_ns, &n, &wait)) {
			assert_true(wait > 0 && wait <= 900 * CLK_S);
			now_ns += wait;
		}
		kube_replicas_patch_sent(&s, n);
		snprintf(text, sizeof text, "%lld", (long long)++rv);
		assert_false(kube_replicas_patch_done(&s, n, text, now_ns, 0));
		times++;
	}
	assert_in_range(times, 10, 16);
}

static void
versions(void **state)
{
	(void)state;
	assert_true(kube_rv_is_older("9", "10"));
	assert_true(kube_rv_is_older("10", "11"));
	assert_false(kube_rv_is_older("11", "11"));
	assert_false(kube_rv_is_older("abc", "abd"));
	assert_false(kube_rv_is_older("", "1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_set_before_it_has_been_seen),
		cmocka_unit_test(older_news_are_not_believed),
		cmocka_unit_test(what_is_told_anew_holds),
		cmocka_unit_test(the_newest_wish_wins),
		cmocka_unit_test(what_failed_is_tried_again_and_may_have_happened),
		cmocka_unit_test(another_hand_is_respected),
		cmocka_unit_test(another_hand_is_overruled_but_not_fought),
		cmocka_unit_test(the_back_off_against_another_hand_has_a_bound),
		cmocka_unit_test(versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

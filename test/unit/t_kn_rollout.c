/* kn_rollout: Knative's steps, on states and times as they come. */
#include "test/unit/unit.h"

#include <jansson.h>

#include "autoscaler/knative/kn_cache.h"
#include "autoscaler/knative/kn_rollout.h"
#include "common/strbuf.h"

#define S INT64_C(1000000000)
#define NOW (1000 * S)

/* Revisions a to e, and b of another Configuration is "o". */
static struct kn_cache *
cache_of(void)
{
	static const char *const names[] = {"a", "b", "c", "d", "e", "o"};
	struct kn_cache *cache = kn_cache_new(NULL, NULL);
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		json_t *o = json_pack("{s:{s:s,s:s,s:s,s:s,s:{s:s,s:s}}}", "metadata", "namespace",
				      "n", "name", names[i], "uid", names[i], "resourceVersion",
				      "1", "labels", "serving.knative.dev/configuration",
				      names[i][0] == 'o' ? "other" : "conf",
				      "serving.knative.dev/x", "y");

		assert_true(kn_cache_put(cache, KN_REVISION, o));
		json_decref(o);
	}
	return cache;
}

struct story {
	struct kn_cache *cache;
	char *annotation; /* NULL: none */
	struct kn_targets last;
	int64_t next_ns;
};

static void
story_open(struct story *s)
{
	*s = (struct story){.cache = cache_of()};
}

static void
story_close(struct story *s)
{
	free(s->annotation);
	kn_targets_fini(&s->last);
	kn_cache_free(&s->cache);
}

/* One reconcile: the newest Revision is this.  Returns the split; for free(). */
static char *
step(struct story *s, const char *revision, int64_t percent, const char *tag, int64_t duration_s,
     bool is_used, int64_t now_ns)
{
	struct kn_rollout before, now;
	struct kn_targets targets = {.n = 0};
	struct strbuf out;
	size_t i;

	kn_targets_add(&targets, &(struct kn_target){.tag = (char *)(uintptr_t)tag,
						     .revision = (char *)(uintptr_t)revision,
						     .configuration = (char[]){"conf"},
						     .percent = percent,
						     .is_latest = true});
	if (percent < 100)
		kn_targets_add(&targets, &(struct kn_target){.tag = (char[]){""},
							     .revision = (char[]){"o"},
							     .configuration = (char[]){"other"},
							     .percent = 100 - percent});
	kn_rollout_before(&before, s->annotation, s->cache, "n", &s->last);
	s->next_ns = kn_rollout_step(&now, &before, &targets, duration_s, is_used, now_ns);
	free(s->annotation);
	s->annotation = kn_rollout_is_going_on(&now) ? kn_rollout_format(&now) : NULL;
	kn_rollout_fini(&now);
	kn_targets_fini(&s->last);
	s->last = targets;
	strbuf_init(&out, 0);
	for (i = 0; i < targets.n; i++)
		strbuf_addf(&out, "%s%s%s %d", i == 0 ? "" : " ", targets.v[i].tag,
			    targets.v[i].revision, (int)targets.v[i].percent);
	return strbuf_take(&out);
}

#define assert_step(text, ...)                                                                     \
	do {                                                                                       \
		char *is_ = step(__VA_ARGS__);                                                     \
		assert_string_equal(is_, text);                                                    \
		free(is_);                                                                         \
	} while (0)

static void
steps_follow_from_the_first(void **state)
{
	struct story s;

	(void)state;
	story_open(&s);
	assert_step("a 100", &s, "a", 100, "", 120, false, NOW); /* nothing before it */
	assert_step("a 99 b 1", &s, "b", 100, "", 120, true, NOW);
	assert_int_equal(s.next_ns, 0);
	assert_step("a 99 b 1", &s, "b", 100, "", 120, false, NOW + 30 * S); /* not used yet */
	/* It took 40 s: 80 s are left, for two steps of 50 % in 40 s. */
	assert_step("a 99 b 1", &s, "b", 100, "", 120, true, NOW + 40 * S);
	assert_int_equal(s.next_ns, NOW + 80 * S);
	assert_step("a 99 b 1", &s, "b", 100, "", 120, true, NOW + 79 * S);
	assert_step("a 49 b 51", &s, "b", 100, "", 120, true, NOW + 80 * S);
	assert_step("b 100", &s, "b", 100, "", 120, true, NOW + 120 * S);
	assert_null(s.annotation);
	assert_step("b 100", &s, "b", 100, "", 120, true, NOW + 200 * S);
	/* Without a duration: at once. */
	assert_step("c 100", &s, "c", 100, "", 0, true, NOW + 300 * S);
	story_close(&s);
}

/* Before this process began the clock was an hour ahead. */
static void
a_step_is_never_further_away_than_its_length(void **state)
{
	struct story s;

	(void)state;
	story_open(&s);
	assert_step("a 100", &s, "a", 100, "", 120, false, NOW + 3600 * S);
	assert_step("a 99 b 1", &s, "b", 100, "", 120, true, NOW + 3600 * S);
	assert_step("a 99 b 1", &s, "b", 100, "", 120, true, NOW + 3640 * S);
	assert_int_equal(s.next_ns, NOW + 3680 * S);
	assert_step("a 99 b 1", &s, "b", 100, "", 120, true, NOW + 50 * S);
	assert_int_equal(s.next_ns, NOW + 90 * S);
	assert_step("a 49 b 51", &s, "b", 100, "", 120, true, NOW + 90 * S);
	assert_step("b 100", &s, "b", 100, "", 120, true, NOW + 130 * S);
	story_close(&s);
}

static void
another_one_meanwhile(void **state)
{
	struct story s;

	(void)state;
	story_open(&s);
	assert_step("a 100", &s, "a", 100, "", 10, false, NOW);
	assert_step("a 99 b 1", &s, "b", 100, "", 10, false, NOW);
	/* Before its first step was used: b gives what it has. */
	assert_step("a 99 c 1", &s, "c", 100, "", 10, false, NOW + S);
	assert_step("a 99 c 1", &s, "c", 100, "", 10, true, NOW + 2 * S);
	assert_step("a 88 c 12", &s, "c", 100, "", 10, true, NOW + 3 * S);
	assert_step("a 88 c 11 d 1", &s, "d", 100, "", 10, true, NOW + 3 * S);
	assert_step("a 88 c 11 d 1", &s, "d", 100, "", 10, true, NOW + 4 * S);
	assert_step("a 88 d 12", &s, "d", 100, "", 10, true, NOW + 5 * S);
	/* Back to one of those that it leaves. */
	assert_step("a 100", &s, "a", 100, "", 10, true, NOW + 5 * S);
	story_close(&s);
}

static void
percents_that_change(void **state)
{
	struct story s;

	(void)state;
	story_open(&s);
	assert_step("a 100", &s, "a", 100, "", 10, false, NOW);
	assert_step("a 99 b 1", &s, "b", 100, "", 10, false, NOW);
	/* The oldest lose first; o has the rest. */
	assert_step("a 39 b 1 o 60", &s, "b", 40, "", 10, false, NOW);
	/* The newest gains. */
	assert_step("a 39 b 31 o 30", &s, "b", 70, "", 10, false, NOW);
	assert_step("b 5 o 95", &s, "b", 5, "", 10, false, NOW);
	assert_null(s.annotation);
	/* 1 % is not rolled out. */
	assert_step("c 1 o 99", &s, "c", 1, "", 10, false, NOW);
	/* A new tag has nothing before it. */
	assert_step("td 100", &s, "d", 100, "t", 10, false, NOW);
	assert_step("td 99 te 1", &s, "e", 100, "t", 10, false, NOW);
	story_close(&s);
}

static void
what_does_not_fit(void **state)
{
	static const char *const wrong[] = {
		"",
		"{",
		"[]",
		"{\"configurations\":[]}",
		"{\"configurations\":[{}]}",
		"{\"configurations\":[{\"configurationName\":\"conf\",\"percent\":100,"
		"\"revisions\":[{\"revisionName\":\"b\",\"percent\":90}]}]}",
		"{\"configurations\":[{\"configurationName\":\"conf\",\"percent\":100,"
		"\"revisions\":[{\"revisionName\":\"b\",\"percent\":-1},{\"revisionName\":\"a\","
		"\"percent\":101}]}]}",
		"{\"configurations\":[{\"configurationName\":\"conf\",\"percent\":100,"
		"\"revisions\":[{\"revisionName\":\"b\",\"percent\":100}],\"stepParams\":{"
		"\"stepSize\":-5}}]}",
	};
	struct story s;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(wrong); i++) {
		story_open(&s);
		assert_step("a 100", &s, "a", 100, "", 10, false, NOW);
		s.annotation = xstrdup(wrong[i]);
		assert_step("a 99 b 1", &s, "b", 100, "", 10, false, NOW); /* by the last targets */
		story_close(&s);
	}
	/* A clock that was set back, and numbers that a user has made up. */
	story_open(&s);
	s.annotation = xstrdup(
		"{\"configurations\":[{\"configurationName\":\"conf\",\"percent\":1,\"revisions\":[{"
		"\"revisionName\":\"a\",\"percent\":0},{\"revisionName\":\"b\",\"percent\":1}],"
		"\"stepParams\":{\"starttime\":9000000000000000000}}]}");
	assert_step("b 50 o 50", &s, "b", 50, "", 10, true, NOW);
	story_close(&s);
}

static void
revisions_that_are_gone(void **state)
{
	struct story s;

	(void)state;
	story_open(&s);
	assert_step("a 100", &s, "a", 100, "", 10, false, NOW);
	assert_step("a 99 b 1", &s, "b", 100, "", 10, false, NOW);
	assert_true(kn_cache_remove(s.cache, KN_REVISION, "n", "a", NULL));
	assert_step("b 100", &s, "b", 100, "", 10, false, NOW);
	assert_true(kn_cache_remove(s.cache, KN_REVISION, "n", "b", NULL));
	assert_step("c 100", &s, "c", 100, "", 10, false, NOW);
	story_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_follow_from_the_first),
		cmocka_unit_test(a_step_is_never_further_away_than_its_length),
		cmocka_unit_test(another_one_meanwhile),
		cmocka_unit_test(percents_that_change),
		cmocka_unit_test(what_does_not_fit),
		cmocka_unit_test(revisions_that_are_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

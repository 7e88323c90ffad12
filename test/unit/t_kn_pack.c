/* kn_pack: whatever is packed comes back, and what is like the base takes little. */
#include "test/unit/unit.h"

#include "autoscaler/knative/kn_pack.h"

/* The size it was packed to. */
static size_t
pass(const struct kn_pack_base *base, const char *text, size_t n)
{
	size_t packed_n;
	uint8_t *packed = kn_pack(base, text, n, &packed_n);
	char *copy = kn_unpack(base, packed, packed_n, n);

	assert_memory_equal(copy, text, n);
	assert_int_equal(copy[n], '\0');
	free(copy);
	free(packed);
	return packed_n;
}

static void
like_the_base(void **state)
{
	static const char form[] =
		"{\"apiVersion\":\"serving.knative.dev/v1\",\"kind\":\"Route\",\"metadata\":{\"name\":\"%s\","
		"\"namespace\":\"default\",\"labels\":{\"serving.knative.dev/service\":\"%s\"}},\"spec\":{"
		"\"traffic\":[{\"configurationName\":\"%s\",\"latestRevision\":true,\"percent\":100}]}}";
	char *a = xasprintf(form, "first", "first", "first");
	char *b = xasprintf(form, "another", "another", "another");
	struct kn_pack_base *base = kn_pack_base_new(a, strlen(a)), *more = kn_pack_base_ref(base);

	(void)state;
	assert_true(pass(base, a, strlen(a)) < 16);
	kn_pack_base_unref(&base);
	assert_null(base);
	assert_true(pass(more, b, strlen(b)) < strlen(b) / 5);
	kn_pack_base_unref(&more);
	free(a);
	free(b);
}

static void
a_text_that_repeats_itself(void **state)
{
	struct kn_pack_base *empty = kn_pack_base_new("", 0);
	char text[5000];

	(void)state;
	memset(text, 'x', sizeof text);
	assert_true(pass(empty, text, sizeof text) < 40);
	assert_int_equal(pass(empty, text, 0), 1);
	pass(empty, text, 3);
	kn_pack_base_unref(&empty);
}

/* All lengths about those at which a number needs one more byte, from few letters and from many,
 * and distances that are too long to be copied from. */
static void
whatever_comes(void **state)
{
	static char text[200000];
	char other[600];
	struct kn_pack_base *base;
	unsigned seed = 1, letters;
	size_t i, n;

	(void)state;
	for (letters = 2; letters <= 256; letters *= 4) {
		for (i = 0; i < sizeof text; i++) {
			seed = seed * 1103515245u + 12345u;
			text[i] = (char)((seed >> 16) % letters);
		}
		memcpy(text + 150000, text, 1000);
		memcpy(other, text + 1000, sizeof other);
		base = kn_pack_base_new(other, sizeof other);
		for (n = 0; n < 600; n++)
			assert_true(pass(base, text + 1300, n) <= n + n / 255 + 16);
		pass(base, text, sizeof text);
		kn_pack_base_unref(&base);
		base = kn_pack_base_new(text, sizeof text);
		pass(base, text + 100, 100000);
		kn_pack_base_unref(&base);
	}
}

static void
spoil(void *arg)
{
	struct kn_pack_base *base = kn_pack_base_new("abcdefgh", 8);
	const uint8_t packed[] = {0x00, 0xff, 0x00, 0x00};

	(void)arg;
	free(kn_unpack(base, packed, sizeof packed, 4));
	kn_pack_base_unref(&base);
}

static void
what_was_not_packed_aborts(void **state)
{
	(void)state;
	unit_expect_abort(spoil, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_the_base),
		cmocka_unit_test(a_text_that_repeats_itself),
		cmocka_unit_test(whatever_comes),
		cmocka_unit_test(what_was_not_packed_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

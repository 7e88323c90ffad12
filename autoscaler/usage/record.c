#include "autoscaler/usage/record.h"

#include <stdlib.h>
#include <string.h>

#include "common/jget.h"
#include "common/jput.h"
#include "common/settings_form.h"
#include "common/strbuf.h"

#define SUM_DIGITS 8
#define HOUR_MAX INT64_C(100000000) /* far beyond any clock */
#define AMOUNT_MAX 1e30

/* CRC-32C (Castagnoli), half a byte at a time. */
static uint32_t
sum_of(const char *text, size_t n)
{
	static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
					   0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
					   0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
					   0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
	uint32_t sum = UINT32_MAX;
	size_t i;

	for (i = 0; i < n; i++) {
		sum ^= (uint8_t)text[i];
		sum = (sum >> 4) ^ table[sum & 15];
		sum = (sum >> 4) ^ table[sum & 15];
	}
	return ~sum;
}

/* --- writing --- */

void
record_encode(const struct usage_record *r, struct strbuf *out)
{
	struct strbuf json;
	struct jput j;
	size_t i;

	strbuf_init(&json, 0);
	jput_init(&j, &json);
	jput_object(&j, NULL);
	jput_string(&j, "run", r->run);
	jput_u64(&j, "part", r->part);
	jput_i64(&j, "hour", r->hour);
	jput_string(&j, "revision", r->account.revision);
	if (r->account.owner[0] != '\0')
		jput_string(&j, "owner", r->account.owner);
	if (r->account.cost_center[0] != '\0')
		jput_string(&j, "cost_center", r->account.cost_center);
	for (i = 0; i < AMOUNTS_N; i++) {
		double value = amounts_round(amounts_get(&r->amounts, i));

		if (value != 0)
			jput_double(&j, amounts_name(i), value);
	}
	jput_object_end(&j);
	strbuf_addf(out, "%08x %s\n", sum_of(json.data, json.len), strbuf_str(&json));
	strbuf_fini(&json);
}

/* --- reading --- */

static int
read_sum(const char *line, uint32_t *sum)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	*sum = 0;
	for (i = 0; i < SUM_DIGITS; i++) {
		const char *at = line[i] == '\0' ? NULL : strchr(digits, line[i]);

		if (at == NULL)
			return -1;
		*sum = *sum << 4 | (uint32_t)(at - digits);
	}
	return 0;
}

/* A file that another program wrote may hold any text, which would go to whoever reads /usage. */
static int
check_account(const struct account *a, struct err *e)
{
	if (!form_is_revision(a->revision))
		return err_set(e, 0, "revision: expected SERVICE/REVISION");
	if (a->owner[0] != '\0' && !form_is_account(a->owner))
		return err_set(e, 0, "owner: expected 1 to 63 letters, digits and \"-_.@/\"");
	if (a->cost_center[0] != '\0' && !form_is_account(a->cost_center))
		return err_set(e, 0, "cost_center: expected 1 to 63 letters, digits and \"-_.@/\"");
	return 0;
}

static int
read_members(struct usage_record *r, const struct jget *j, struct err *e)
{
	size_t i;

	if (jget_string(j, "run", JGET_MUST, &r->run, e) < 0 ||
	    jget_u64(j, "part", JGET_MUST, &r->part, e) < 0 ||
	    jget_i64(j, "hour", JGET_MUST, 0, HOUR_MAX, &r->hour, e) < 0 ||
	    jget_string(j, "revision", JGET_MUST, &r->account.revision, e) < 0 ||
	    jget_string(j, "owner", JGET_MAY, &r->account.owner, e) < 0 ||
	    jget_string(j, "cost_center", JGET_MAY, &r->account.cost_center, e) < 0)
		return -1;
	if (r->account.owner == NULL)
		r->account.owner = xstrdup("");
	if (r->account.cost_center == NULL)
		r->account.cost_center = xstrdup("");
	for (i = 0; i < AMOUNTS_N; i++)
		if (jget_double(j, amounts_name(i), JGET_MAY, 0, AMOUNT_MAX,
				amounts_at(&r->amounts, i), e) < 0)
			return -1;
	return check_account(&r->account, e);
}

int
record_decode(struct usage_record *r, const char *line, size_t n, struct err *e)
{
	const char *json = line + SUM_DIGITS + 1;
	struct json_t *doc;
	struct jget root;
	uint32_t sum;
	int rc;

	*r = (struct usage_record){.part = 0};
	if (n <= SUM_DIGITS || read_sum(line, &sum) < 0 || line[SUM_DIGITS] != ' ')
		return err_set(e, 0, "expected a checksum of 8 hexadecimal digits and a blank");
	n -= SUM_DIGITS + 1;
	if (sum_of(json, n) != sum)
		return err_set(e, 0, "expected the checksum %08x, got %08x", sum_of(json, n), sum);
	doc = jget_open(json, n, &root, e);
	if (doc == NULL)
		return -1;
	rc = read_members(r, &root, e);
	jget_close(&doc);
	return rc;
}

void
record_fini(struct usage_record *r)
{
	free(r->run);
	account_fini(&r->account);
	*r = (struct usage_record){.part = 0};
}

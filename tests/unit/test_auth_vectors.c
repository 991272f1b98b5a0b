/* The signatures of RFC 7515 appendix A and RFC 8037 appendix A, by keys in files. Those of RFC
 * 7520, by keys of a JWK Set, are in test_auth_jwk.c. */
#include "auth_jws_kit.h"

#include "auth/jws_key.h"

/* RFC 7515 A.1 to A.4 and RFC 8037 A.4; they have no `kid`. */
static void the_vectors_of_the_rfcs_verify(void **state)
{
    static const unsigned char hmac_key[] = {
        3,   35,  53, 75,  43,  15, 165, 188, 131, 126, 6,   101, 119, 123, 166, 143,
        90,  179, 40, 230, 240, 84, 201, 40,  169, 15,  132, 178, 210, 80,  46,  191,
        211, 251, 90, 146, 210, 6,  71,  239, 150, 138, 180, 195, 119, 98,  61,  34,
        61,  46,  33, 114, 5,   46, 79,  8,   192, 205, 154, 245, 103, 208, 128, 163};
#define JOE                                                                                        \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
    static const struct {
        const char *file, *key, *token, *payload;
    } rows[] = {
        {"a1.HS256.secret", NULL,
         "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." JOE
         ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
         "{\"iss\":\"joe\","},
        {"a2.RS256.pem",
         "-----BEGIN PUBLIC KEY-----\n"
         "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj\n"
         "NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz\n"
         "P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo\n"
         "9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB\n"
         "EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX\n"
         "FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp\n"
         "oQIDAQAB\n"
         "-----END PUBLIC KEY-----\n",
         "eyJhbGciOiJSUzI1NiJ9." JOE
         ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8"
         "W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS"
         "jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvW"
         "h6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
         "{\"iss\":\"joe\","},
        {"a3.ES256.pem",
         "-----BEGIN PUBLIC KEY-----\n"
         "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
         "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
         "-----END PUBLIC KEY-----\n",
         "eyJhbGciOiJFUzI1NiJ9." JOE
         ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
         "{\"iss\":\"joe\","},
        {"a4.ES512.pem",
         "-----BEGIN PUBLIC KEY-----\n"
         "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQB6SkFDxJPxrxVx9U5M2Xfne9KsMIs\n"
         "sleY+TTrBOPGuuNwGlenkQ6dgb82MVno68sVXWNJ9L22zPipTFxZx6rBAaQANKZE\n"
         "DjdnUNI3H9G9wsjztx0vTuXqNDLIFcyjFWD+XZOH7HdLVYOGMOXLv1qMvgqR3QBk\n"
         "xpmaH25uZ/rd7eTIyPY=\n"
         "-----END PUBLIC KEY-----\n",
         "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA"
         ".AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7Xdt"
         "AG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
         "Payload"},
        {"a4.EdDSA.pem",
         "-----BEGIN PUBLIC KEY-----\n"
         "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
         "-----END PUBLIC KEY-----\n",
         "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
         ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
         "Example of Ed25519 signing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char vectors[64];
        struct auth_key *key = NULL;
        struct auth_jws jws;
        char *token = strdup(rows[i].token);
        size_t len = strlen(token);

        kit_directory(vectors);
        if (rows[i].key)
            kit_write_text(vectors, rows[i].file, rows[i].key);
        else
            kit_write(vectors, rows[i].file, hmac_key, sizeof hmac_key);
        assert_int_equal(auth_key_read(&key, NULL, "dev", vectors, rows[i].file), ST_OK);
        assert_int_equal(auth_jws_verify_with_key(&jws, key, token, len), ST_OK);
        assert_memory_equal(jws.payload, rows[i].payload, strlen(rows[i].payload));
        token[len - 20] ^= 1;
        assert_int_equal(auth_jws_verify_with_key(&jws, key, token, len), ST_UNKNOWN_CALLER);
        assert_refused(rows[i].token, len); /* without a kid it chooses no key */
        auth_key_free(key);
        free(token);
        assert_int_equal(fs_remove_tree(vectors), ST_OK);
    }
}

/* RFC 7515 A.5 (no signature), A.6 and A.7 (JSON serializations), and RFC 7520 4.5 (detached
 * content): sound for who reads them, and no token here. */
static void other_forms_of_a_jws_are_no_tokens(void **state)
{
    static const char SIGNED[] =
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AA"
        "uHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAyn"
        "RFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZR"
        "mB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv"
        "Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_Ioy"
        "pGlUPQGe77Rw";
    static const char *const forms[] = {
        "eyJhbGciOiJub25lIn0." JOE ".",
        "{\"payload\":\"" JOE "\",\"signatures\":[{\"protected\":\"eyJhbGciOiJSUzI1NiJ9\","
        "\"header\":{\"kid\":\"2010-12-29\"},\"signature\":\"%s\"}]}",
        "{\"payload\":\"" JOE "\",\"protected\":\"eyJhbGciOiJSUzI1NiJ9\","
        "\"header\":{\"kid\":\"2010-12-29\"},\"signature\":\"%s\"}",
        "eyJhbGciOiJSUzI1NiJ9..%s",
    };
    char text[2048];
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const char *at = strstr(forms[i], "%s");
        size_t before = at ? (size_t)(at - forms[i]) : strlen(forms[i]);
        int len = snprintf(text, sizeof text, "%.*s%s%s", (int)before, forms[i], at ? SIGNED : "",
                           at ? at + 2 : "");
        struct auth_jws jws;
        assert_refused(text, (size_t)len);
        for (int k = 0; k < ALGORITHMS; k++)
            assert_int_equal(auth_jws_verify_with_key(&jws, signers[k].key, text, (size_t)len),
                             ST_UNKNOWN_CALLER);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfcs_verify),
        cmocka_unit_test(other_forms_of_a_jws_are_no_tokens),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

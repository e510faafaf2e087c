namespace KvStore.Protocol.Tests;

public sealed class ErrorCodesTests
{
    // The published table. Numbers never change; a new code gets a new line here and in docs/wire-protocol.md.
    private static readonly (int Number, ErrorCode Code, int Http, RetryRule Retry, Outcome Outcome, string Kebab)[] Published =
    [
        (0, ErrorCode.None, 200, RetryRule.Never, Outcome.None, "none"),
        (1, ErrorCode.InvalidRequest, 400, RetryRule.Never, Outcome.NotApplied, "invalid-request"),
        (2, ErrorCode.KeyNotAddressable, 400, RetryRule.Never, Outcome.NotApplied, "key-not-addressable"),
        (3, ErrorCode.CrossGroupTransaction, 400, RetryRule.Never, Outcome.NotApplied, "cross-group-transaction"),
        (4, ErrorCode.SessionTokenInvalid, 400, RetryRule.Never, Outcome.NotApplied, "session-token-invalid"),
        (5, ErrorCode.Unauthenticated, 401, RetryRule.Never, Outcome.NotApplied, "unauthenticated"),
        (6, ErrorCode.Forbidden, 403, RetryRule.Never, Outcome.NotApplied, "forbidden"),
        (7, ErrorCode.KeyNotFound, 404, RetryRule.Never, Outcome.None, "key-not-found"),
        (8, ErrorCode.ConditionFailed, 412, RetryRule.Never, Outcome.NotApplied, "condition-failed"),
        (9, ErrorCode.NotANumber, 409, RetryRule.Never, Outcome.NotApplied, "not-a-number"),
        (10, ErrorCode.IdempotencyInFlight, 409, RetryRule.Always, Outcome.Unknown, "idempotency-in-flight"),
        (11, ErrorCode.IdempotencyExpired, 409, RetryRule.Never, Outcome.Unknown, "idempotency-expired"),
        (12, ErrorCode.IdempotencyReused, 422, RetryRule.Never, Outcome.NotApplied, "idempotency-reused"),
        (13, ErrorCode.Compacted, 410, RetryRule.RestartScan, Outcome.None, "compacted"),
        (14, ErrorCode.TooLarge, 413, RetryRule.Never, Outcome.NotApplied, "too-large"),
        (15, ErrorCode.WrongNode, 421, RetryRule.Always, Outcome.NotApplied, "wrong-node"),
        (16, ErrorCode.Overloaded, 429, RetryRule.Always, Outcome.NotApplied, "overloaded"),
        (17, ErrorCode.NoLeader, 503, RetryRule.Always, Outcome.NotApplied, "no-leader"),
        (18, ErrorCode.TooStale, 503, RetryRule.Always, Outcome.NotApplied, "too-stale"),
        (19, ErrorCode.Starting, 503, RetryRule.Always, Outcome.NotApplied, "starting"),
        (20, ErrorCode.Draining, 503, RetryRule.Always, Outcome.NotApplied, "draining"),
        (21, ErrorCode.Timeout, 504, RetryRule.Always, Outcome.None, "timeout"),
        (22, ErrorCode.Indeterminate, 504, RetryRule.WithSameId, Outcome.Unknown, "indeterminate"),
        (23, ErrorCode.NotOnAll, 504, RetryRule.Never, Outcome.Applied, "not-on-all"),
        (24, ErrorCode.DiskFull, 507, RetryRule.Never, Outcome.NotApplied, "disk-full"),
        (25, ErrorCode.Internal, 500, RetryRule.Never, Outcome.Unknown, "internal"),
        (26, ErrorCode.Unsupported, 400, RetryRule.Never, Outcome.NotApplied, "unsupported"),
        (27, ErrorCode.Locked, 409, RetryRule.Never, Outcome.NotApplied, "locked"),
        (28, ErrorCode.Fenced, 412, RetryRule.Never, Outcome.NotApplied, "fenced"),
        (29, ErrorCode.QuotaExceeded, 507, RetryRule.Never, Outcome.NotApplied, "quota-exceeded"),
        (30, ErrorCode.LeaseLost, 409, RetryRule.Never, Outcome.NotApplied, "lease-lost"),
        (31, ErrorCode.Superseded, 410, RetryRule.Never, Outcome.Applied, "superseded"),
    ];

    [Fact]
    public void Every_code_has_its_published_line_and_no_code_is_forgotten()
    {
        Assert.Equal(Enum.GetValues<ErrorCode>().Order(), Published.Select(line => line.Code).Order());
        foreach (var line in Published)
        {
            Assert.Equal(line.Number, (int)line.Code);
            string urn = "urn:kvstore:problem:" + line.Kebab;
            var expected = new ErrorCodeEntry(line.Code, line.Http, line.Retry, line.Outcome, line.Kebab, urn);
            Assert.Equal(expected, ErrorCodes.Of(line.Code));
        }
    }

    [Fact]
    public void Only_codes_that_prove_something_say_so()
    {
        foreach (var code in Enum.GetValues<ErrorCode>())
        {
            var entry = ErrorCodes.Of(code);
            Assert.False(
                entry.Retryable && entry.Outcome == Outcome.Unknown && code != ErrorCode.IdempotencyInFlight,
                $"{code} may have been applied, so it must not be sent again blindly");
        }
    }

    [Fact]
    public void A_number_of_a_newer_node_is_treated_as_internal() =>
        Assert.Equal(ErrorCode.Internal, ErrorCodes.Of((ErrorCode)9999).Code);
}

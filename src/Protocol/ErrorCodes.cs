using System.Collections.Frozen;
using System.Text;

namespace KvStore.Protocol;

/// <summary>When sending the same request again makes sense.</summary>
public enum RetryRule : byte
{
    Never = 0,
    Always = 1,

    /// <summary>Only under the same idempotency id: the first one may have been applied.</summary>
    WithSameId = 2,

    /// <summary>Not this request: the scan or watch starts again from the beginning.</summary>
    RestartScan = 3,
}

/// <summary>
/// What follows from an <see cref="ErrorCode"/>: for REST, for clients and for the docs, from one table. HttpStatus is 200 for None
/// (the routes choose among 200, 201, 204 and 304). Outcome is what the code proves when nothing more is known. Kebab is
/// invalid-request for InvalidRequest, and the end of Urn, the type of the problem document.
/// </summary>
public sealed record ErrorCodeEntry(ErrorCode Code, int HttpStatus, RetryRule Retry, Outcome Outcome, string Kebab, string Urn)
{
    /// <summary>The same request may be sent again without asking anything first.</summary>
    public bool Retryable => Retry == RetryRule.Always;
}

public static class ErrorCodes
{
    private static readonly FrozenDictionary<ErrorCode, ErrorCodeEntry> Table = new[]
    {
        Entry(ErrorCode.None, 200, RetryRule.Never, Outcome.None),
        Entry(ErrorCode.InvalidRequest, 400, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.KeyNotAddressable, 400, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.CrossGroupTransaction, 400, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.SessionTokenInvalid, 400, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.Unauthenticated, 401, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.Forbidden, 403, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.KeyNotFound, 404, RetryRule.Never, Outcome.None),
        Entry(ErrorCode.ConditionFailed, 412, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.NotANumber, 409, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.IdempotencyInFlight, 409, RetryRule.Always, Outcome.Unknown),
        Entry(ErrorCode.IdempotencyExpired, 409, RetryRule.Never, Outcome.Unknown),
        Entry(ErrorCode.IdempotencyReused, 422, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.Compacted, 410, RetryRule.RestartScan, Outcome.None),
        Entry(ErrorCode.TooLarge, 413, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.WrongNode, 421, RetryRule.Always, Outcome.NotApplied),
        Entry(ErrorCode.Overloaded, 429, RetryRule.Always, Outcome.NotApplied),
        Entry(ErrorCode.NoLeader, 503, RetryRule.Always, Outcome.NotApplied),
        Entry(ErrorCode.TooStale, 503, RetryRule.Always, Outcome.NotApplied),
        Entry(ErrorCode.Starting, 503, RetryRule.Always, Outcome.NotApplied),
        Entry(ErrorCode.Draining, 503, RetryRule.Always, Outcome.NotApplied),
        Entry(ErrorCode.Timeout, 504, RetryRule.Always, Outcome.None),
        Entry(ErrorCode.Indeterminate, 504, RetryRule.WithSameId, Outcome.Unknown),
        Entry(ErrorCode.NotOnAll, 504, RetryRule.Never, Outcome.Applied),
        Entry(ErrorCode.DiskFull, 507, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.Internal, 500, RetryRule.Never, Outcome.Unknown),
        Entry(ErrorCode.Unsupported, 400, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.Locked, 409, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.Fenced, 412, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.QuotaExceeded, 507, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.LeaseLost, 409, RetryRule.Never, Outcome.NotApplied),
        Entry(ErrorCode.Superseded, 410, RetryRule.Never, Outcome.Applied),
    }.ToFrozenDictionary(entry => entry.Code);

    /// <summary>The entry of a code. A number this version does not know (a newer node's) is treated as Internal.</summary>
    public static ErrorCodeEntry Of(ErrorCode code) => Table.TryGetValue(code, out var entry) ? entry : Table[ErrorCode.Internal];

    public static int HttpStatus(ErrorCode code) => Of(code).HttpStatus;

    public static string Urn(ErrorCode code) => Of(code).Urn;

    private static ErrorCodeEntry Entry(ErrorCode code, int httpStatus, RetryRule retry, Outcome outcome)
    {
        string kebab = Kebab(code.ToString());
        return new ErrorCodeEntry(code, httpStatus, retry, outcome, kebab, "urn:kvstore:problem:" + kebab);
    }

    // NotANumber is three words: every capital begins one.
    private static string Kebab(string pascalCase)
    {
        var kebab = new StringBuilder();
        foreach (char c in pascalCase)
        {
            if (char.IsAsciiLetterUpper(c) && kebab.Length > 0)
            {
                kebab.Append('-');
            }

            kebab.Append(char.ToLowerInvariant(c));
        }

        return kebab.ToString();
    }
}

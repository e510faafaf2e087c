using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>A request that got no usable answer. Retryable and Outcome follow from the code unless more is known.</summary>
public class KvException(ErrorCode code, string message, Exception? inner = null) : Exception(message, inner)
{
    public ErrorCode Code { get; } = code;

    /// <summary>The same request may be sent again as it is.</summary>
    public bool Retryable { get; init; } = ErrorCodes.Of(code).Retryable;

    /// <summary>NotApplied is a proof; everything that is not proved is Unknown.</summary>
    public Outcome Outcome { get; init; } = ErrorCodes.Of(code).Outcome;

    /// <summary>The first key of the request; null when there was none.</summary>
    public KvKey? Key { get; init; }

    /// <summary>Not before this time has passed; null when the store did not say.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>How often the request was sent, or tried to be.</summary>
    public int Attempts { get; init; }
}

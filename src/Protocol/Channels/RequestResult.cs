namespace KvStore.Protocol;

/// <summary>How sending a request ended. Those of NeverSent prove that the other side never saw it.</summary>
public enum RequestEnd : byte
{
    Replied = 0,

    /// <summary>Never sent: too many requests in flight or too many bytes waiting to be written.</summary>
    Full = 1,

    /// <summary>Never sent: the encoded request is above the frame limit.</summary>
    TooLarge = 2,

    /// <summary>Never sent: the connection was closed, or ended before the first byte of the request was handed to it.</summary>
    NotSent = 3,

    /// <summary>The connection ended; the request may have arrived.</summary>
    Lost = 4,

    /// <summary>No reply in time; the request may have arrived.</summary>
    TimedOut = 5,

    /// <summary>Never sent: the other side is of a feature level that does not know the operation, or something the request requires.</summary>
    Unsupported = 6,

    /// <summary>Never sent: the other side has said that it goes away. Use another connection.</summary>
    GoingAway = 7,

    /// <summary>Given up by the caller, who no longer takes the parts of the answer.</summary>
    Abandoned = 8,
}

/// <summary>Reply is set when End is Replied and only then.</summary>
public readonly record struct RequestResult(RequestEnd End, KvReply? Reply)
{
    /// <summary>A proof that the other side never saw the request.</summary>
    public bool NeverSent => End is RequestEnd.Full or RequestEnd.TooLarge or RequestEnd.NotSent or RequestEnd.GoingAway
        or RequestEnd.Unsupported;
}

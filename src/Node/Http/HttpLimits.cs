using KvStore.Node.Config;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace KvStore.Node.Http;

/// <summary>Every limit of the front doors that Kestrel keeps for us, and what a client sees when it is reached.</summary>
internal static class HttpLimits
{
    /// <summary>
    /// What Kestrel takes from a socket before anybody asks for it, on either door. Full: TCP slows the client down. Its default of
    /// 1 MiB would let connections that nobody reads from hold eight times as much.
    /// </summary>
    public const long MaxReadBufferBytes = 128 << 10;

    /// <summary>A key of 2,048 bytes is at worst 6,144 characters of percent-encoding. Longer lines: 414.</summary>
    public const int MaxRequestLineBytes = 8 * 1024;

    /// <summary>All header lines of one request. Full: 431.</summary>
    public const int MaxRequestHeadersBytes = 16 * 1024;

    /// <summary>Full: 431.</summary>
    public const int MaxRequestHeaderCount = 64;

    /// <summary>
    /// Handlers refuse a body at their own limit, naming it, long before this. What a client had already sent by then is read and
    /// dropped, or a reset would overtake the answer; a body declared larger than this is not even that.
    /// </summary>
    public const long MaxRefusedBodyBytes = 64L << 20;

    public const int MaxIdempotencyKeyChars = 128;

    /// <summary>A client that sends or takes a body slower than this is cut off (408, or the connection is closed).</summary>
    public const double MinBodyBytesPerSecond = 240;

    /// <summary>The same for an answer that holds a part of <see cref="AnswerBudget"/>, which others wait for.</summary>
    public const double MinHeldAnswerBytesPerSecond = 16 * 1024;

    /// <summary>What is kept of an answer that its client does not take yet, for each connection. Full: who writes it waits.</summary>
    public const long MaxResponseBufferBytes = 64 << 10;

    public static readonly TimeSpan BodyRateGrace = TimeSpan.FromSeconds(5);

    /// <summary>From the first byte of a request to the end of its headers. Late: 408.</summary>
    public static readonly TimeSpan RequestHeadersTimeout = TimeSpan.FromSeconds(15);

    /// <summary>What Retry-After says when the store itself gave no time.</summary>
    public const int DefaultRetryAfterMs = 1000;

    /// <summary>How many connections there may be is said by <see cref="Doors.Places"/>.</summary>
    public static void Apply(KestrelServerLimits limits, DoorSettings doors)
    {
        limits.MaxRequestLineSize = MaxRequestLineBytes;
        limits.MaxRequestHeadersTotalSize = MaxRequestHeadersBytes;
        limits.MaxRequestHeaderCount = MaxRequestHeaderCount;
        limits.MaxRequestBodySize = MaxRefusedBodyBytes;
        limits.MaxResponseBufferSize = MaxResponseBufferBytes;
        limits.MinRequestBodyDataRate = new MinDataRate(MinBodyBytesPerSecond, BodyRateGrace);
        limits.MinResponseDataRate = new MinDataRate(MinBodyBytesPerSecond, BodyRateGrace);
        limits.RequestHeadersTimeout = RequestHeadersTimeout;
        limits.KeepAliveTimeout = TimeSpan.FromSeconds(doors.IdleSeconds);
    }
}

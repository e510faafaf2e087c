using KvStore.Protocol;

namespace KvStore.Client;

public sealed record KvConnectionOptions
{
    /// <summary>Refused by a node of another cluster; empty means that any will do.</summary>
    public string ClusterId { get; init; } = string.Empty;

    /// <summary>Shown in the server's logs.</summary>
    public string ClientName { get; init; } = "kvstore-client";

    /// <summary>For connecting and the handshake together.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Bytes of an answer in parts that may be on the way or wait to be taken; one item may pass it. A wider window is for links
    /// where a round trip takes long.
    /// </summary>
    public int StreamWindowBytes { get; init; } = 256 << 10;

    /// <summary>Limits on what may be in flight, and the time granted beyond a request's own.</summary>
    public RequestChannelOptions Channel { get; init; } = new();

    public TimeProvider Time { get; init; } = TimeProvider.System;
}

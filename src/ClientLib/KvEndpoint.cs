using System.Globalization;

namespace KvStore.Client;

/// <summary>Which door an endpoint names.</summary>
internal enum EndpointDoor
{
    /// <summary>Not said: asked as HTTP first, then as the binary protocol.</summary>
    Either,
    Http,
    Binary,
}

/// <summary>An address that a client was given to begin with.</summary>
internal readonly record struct KvEndpoint(EndpointDoor Door, string Host, int Port)
{
    /// <exception cref="ArgumentException">No address; the message shows what one looks like.</exception>
    public static KvEndpoint Parse(string text)
    {
        string rest = text.Trim().TrimEnd('/');
        EndpointDoor door = EndpointDoor.Either;
        int scheme = rest.IndexOf("://", StringComparison.Ordinal);
        if (scheme >= 0)
        {
            door = rest[..scheme] switch
            {
                "http" => EndpointDoor.Http,
                "kv" => EndpointDoor.Binary,
                string other => throw new ArgumentException($"'{text}': {other}:// is no door of a node; use http:// or kv://, or neither."),
            };
            rest = rest[(scheme + 3)..];
        }

        int colon = rest.LastIndexOf(':');
        if (colon <= 0 || !ushort.TryParse(rest.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) || port == 0
            || Uri.CheckHostName(rest[..colon].Trim('[', ']')) == UriHostNameType.Unknown)
        {
            throw new ArgumentException($"'{text}' is no endpoint; one looks like localhost:7101, http://10.0.0.5:7101 or kv://[::1]:7301.");
        }

        return new KvEndpoint(door, rest[..colon].Trim('[', ']'), port);
    }

    public override string ToString() => Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}

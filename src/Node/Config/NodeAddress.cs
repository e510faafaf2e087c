using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace KvStore.Node.Config;

/// <summary>
/// One of a node's three doors: the host and port that others dial and are told, and the host at which the node itself listens,
/// which is another one behind a container's or a router's address. A name is resolved when it is needed and again at every attempt,
/// so a machine may come back under another address.
/// </summary>
/// <param name="Host">An IP address in its usual spelling, without brackets, or a host name (RFC 1123).</param>
/// <param name="Port">0 to 65,535; 0 lets the system choose.</param>
public sealed record NodeAddress(string Host, int Port)
{
    public const string HostRule = "an IP address or a host name";

    private const int MaxNameLength = 253;
    private const int MaxLabelLength = 63;

    /// <summary>Where the node listens; the host others dial, unless it was told apart.</summary>
    public string ListenHost { get; init; } = Host;

    /// <summary>Nobody can be told to dial every address of a machine.</summary>
    public bool IsAny => IPAddress.TryParse(Host, out IPAddress? address) && (address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any));

    /// <summary>The node is out of reach of other machines. A name other than localhost may mean anything, so it does not count.</summary>
    public bool ListensOnLoopback =>
        IPAddress.TryParse(ListenHost, out IPAddress? address) ? IPAddress.IsLoopback(address) : IsLocalhost(ListenHost);

    public static NodeAddress Of(IPEndPoint endPoint) => new(endPoint.Address.ToString(), endPoint.Port);

    /// <summary>What a socket dials: an address as it is, a name to be resolved then.</summary>
    public EndPoint ToEndPoint() =>
        IPAddress.TryParse(Host, out IPAddress? address) ? new IPEndPoint(address, Port) : new DnsEndPoint(Host, Port);

    /// <summary>Where to bind; a name is resolved now, IPv4 first.</summary>
    /// <exception cref="ConfigurationException">The name is not known here.</exception>
    public async Task<IPEndPoint> ResolveListenAsync(CancellationToken cancellation)
    {
        if (IPAddress.TryParse(ListenHost, out IPAddress? literal))
        {
            return new IPEndPoint(literal, Port);
        }

        try
        {
            IPAddress[] found = await Dns.GetHostAddressesAsync(ListenHost, cancellation).ConfigureAwait(false);
            IPAddress address = found.FirstOrDefault(address => address.AddressFamily == AddressFamily.InterNetwork) ?? found[0];
            return new IPEndPoint(address, Port);
        }
        catch (SocketException e)
        {
            throw new ConfigurationException(
                $"cannot listen at {ListenHost}:{Port}: the name is not known on this machine ({e.Message}); correct it, or say in the "
                + "node's \"listen\" at which address of this machine to listen (0.0.0.0 for all)",
                e);
        }
    }

    /// <summary>Host and port where the node listens.</summary>
    public string Listened => $"{Bracketed(ListenHost)}:{Port}";

    /// <summary>Host and port that others dial; an IPv6 address in brackets.</summary>
    public override string ToString() => $"{Bracketed(Host)}:{Port}";

    /// <summary>As the file has it: host:port, an IPv6 address in brackets.</summary>
    public static bool TryParse(string text, out NodeAddress? address)
    {
        int colon = text.LastIndexOf(':');
        address = colon > 0 && TryParseHost(text[..colon], out string host)
            && text.Length - colon <= 6 && ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port)
            ? new NodeAddress(host, port)
            : null;
        return address is not null;
    }

    /// <summary>
    /// IPv4 as four decimal numbers without leading zeros, IPv6 in brackets, or a name. The other spellings that C libraries take
    /// (127.1, 010.0.0.1, 0x7f.0.0.1, 2130706433) mean different machines to different programs, and are refused.
    /// </summary>
    public static bool TryParseHost(string text, out string host)
    {
        host = "";
        if (text is ['[', .. var inner, ']'])
        {
            if (IPAddress.TryParse(inner, out IPAddress? six) && six.AddressFamily == AddressFamily.InterNetworkV6)
            {
                host = (six.IsIPv4MappedToIPv6 ? six.MapToIPv4() : six).ToString();
                return true;
            }

            return false;
        }

        // What ends in a number is meant as an address (WHATWG URL, "ends in a number"), and has one spelling.
        string lastLabel = text[(text.LastIndexOf('.') + 1)..];
        bool isNumeric = lastLabel.Length > 0 && (lastLabel.All(char.IsAsciiDigit) || lastLabel.StartsWith("0x", StringComparison.OrdinalIgnoreCase));
        if (isNumeric ? !IsDottedQuad(text) : !IsName(text))
        {
            return false;
        }

        host = text;
        return true;
    }

    private static bool IsDottedQuad(string text)
    {
        string[] parts = text.Split('.');
        return parts.Length == 4
            && parts.All(part => byte.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out byte value)
                && part == value.ToString(CultureInfo.InvariantCulture));
    }

    private static bool IsName(string text) =>
        text.Length is > 0 and <= MaxNameLength
        && text.Split('.').All(label => label.Length is > 0 and <= MaxLabelLength
            && label[0] != '-' && label[^1] != '-' && label.All(c => char.IsAsciiLetterOrDigit(c) || c == '-'));

    private static bool IsLocalhost(string host) => host.Equals("localhost", StringComparison.OrdinalIgnoreCase);

    private static string Bracketed(string host) => host.Contains(':', StringComparison.Ordinal) ? $"[{host}]" : host;
}

using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace KvStore.Protocol.Tests;

/// <summary>The bytes that docs/wire-protocol.md shows to whoever writes a client.</summary>
public sealed class PageBytesTests
{
    [Fact]
    public void The_samples_of_the_page_are_what_is_written()
    {
        RequestId id = new(UInt128.Parse("00112233445566778899AABBCCDDEEFF", System.Globalization.NumberStyles.HexNumber), 1, 1_700_000_000_000, 1, default);
        Assert.Equal(
            [
                Convert.ToHexString(FuzzTests.Encoded(
                    buffer => HelloCodec.Encode(buffer, new ClientHello { ClusterId = "", ClientName = "c", Features = FeatureBits.Streams }))),
                Convert.ToHexString(CodecTests.Encode(new KvRequest { Operation = new Get("foo"u8) })),
                Convert.ToHexString(CodecTests.Encode(new KvRequest { Operation = new Put("foo"u8, "bar"u8, "text/plain"), Id = id })),
            ],
            Shown());
    }

    private static IEnumerable<string> Shown([CallerFilePath] string source = "")
    {
        string page = File.ReadAllText(Path.Combine(Path.GetDirectoryName(source)!, "..", "..", "docs", "wire-protocol.md"));
        string block = Regex.Match(page, "\nhello of client .*?\n```", RegexOptions.Singleline).Value;

        // A line that begins with blanks goes on with the one before it.
        return Regex.Matches(block, @"\n\S[^\n]*?  +([0-9A-F ]+)(?:\n +([0-9A-F ]+))?")
            .Select(line => (line.Groups[1].Value + line.Groups[2].Value).Replace(" ", "", StringComparison.Ordinal));
    }
}

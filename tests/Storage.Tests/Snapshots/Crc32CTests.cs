using System.Text;

namespace KvStore.Storage.Tests;

public sealed class Crc32CTests
{
    [Fact]
    public void Published_vectors_hold()
    {
        // RFC 3720 B.4, and the check value of the CRC catalogue.
        Assert.Equal(0xE3069283u, Crc32C.Append(0, Encoding.ASCII.GetBytes("123456789")));
        Assert.Equal(0x8A9136AAu, Crc32C.Append(0, new byte[32]));
        Assert.Equal(0x62A8AB43u, Crc32C.Append(0, Enumerable.Repeat((byte)0xFF, 32).ToArray()));
        Assert.Equal(0x46DD794Eu, Crc32C.Append(0, Enumerable.Range(0, 32).Select(i => (byte)i).ToArray()));
        Assert.Equal(0u, Crc32C.Append(0, []));
    }

    [Fact]
    public void A_checksum_continues_at_every_cut()
    {
        byte[] data = Enumerable.Range(0, 61).Select(i => (byte)(i * 37)).ToArray();
        uint whole = Crc32C.Append(7, data);
        for (int cut = 0; cut <= data.Length; cut++)
        {
            Assert.Equal(whole, Crc32C.Append(Crc32C.Append(7, data.AsSpan(0, cut)), data.AsSpan(cut)));
        }
    }
}

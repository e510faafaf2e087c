using System.Text;

namespace KvStore.Protocol.Tests;

public sealed class SlotTests
{
    [Fact]
    public void Crc16_of_the_published_check_string_is_31C3() => Assert.Equal(0x31C3, Slot.Crc16("123456789"u8));

    // What CLUSTER KEYSLOT of a Redis server answers.
    [Theory]
    [InlineData("123456789", 12739)]
    [InlineData("foo", 12182)]
    [InlineData("bar", 5061)]
    [InlineData("somekey", 11058)]
    [InlineData("foo{hash_tag}", 2515)]
    [InlineData("bar{hash_tag}", 2515)]
    [InlineData("", 0)]
    public void Slot_is_the_one_a_Redis_cluster_computes(string key, int slot) => Assert.Equal(slot, Of(key));

    [Theory]
    [InlineData("{user1000}.following", "user1000")]
    [InlineData("{user1000}.followers", "user1000")]
    [InlineData("foo{}{bar}", "foo{}{bar}")]
    [InlineData("foo{{bar}}zap", "{bar")]
    [InlineData("foo{bar}{zap}", "bar")]
    [InlineData("foo{bar", "foo{bar")]
    [InlineData("foo}bar{", "foo}bar{")]
    [InlineData("}{bar}", "bar")]
    [InlineData("{}", "{}")]
    [InlineData("{a}", "a")]
    public void Only_the_first_non_empty_tag_is_hashed(string key, string hashed)
    {
        Assert.Equal(hashed, Encoding.UTF8.GetString(Slot.HashTag(Encoding.UTF8.GetBytes(key))));
        Assert.Equal(Slot.Crc16(Encoding.UTF8.GetBytes(hashed)) % Limits.SlotCount, Of(key));
    }

    [Fact]
    public void Crc16_agrees_with_a_bit_by_bit_twin()
    {
        const int Seed = 20_261;
        var random = new Random(Seed);
        for (int i = 0; i < 2_000; i++)
        {
            var key = new byte[random.Next(0, 80)];
            random.NextBytes(key);
            Assert.True(Slot.Crc16(key) == BitByBit(key), $"seed {Seed}, case {i}: {Convert.ToHexString(key)}");
        }
    }

    [Fact]
    public void Sequential_keys_spread_evenly_over_the_slots()
    {
        var counts = new int[64];
        for (int i = 0; i < 100_000; i++)
        {
            counts[Of($"user:{i}") / (Limits.SlotCount / counts.Length)]++;
        }

        double mean = 100_000.0 / counts.Length;
        Assert.InRange(counts.Max() / mean, 1.0, 1.15);
        Assert.InRange(counts.Min() / mean, 0.85, 1.0);
    }

    private static int Of(string key) => Slot.Of(Encoding.UTF8.GetBytes(key));

    private static ushort BitByBit(byte[] bytes)
    {
        ushort crc = 0;
        foreach (byte b in bytes)
        {
            for (int bit = 7; bit >= 0; bit--)
            {
                bool top = (crc & 0x8000) != 0;
                bool next = ((b >> bit) & 1) != 0;
                crc = (ushort)(crc << 1);
                crc ^= top != next ? (ushort)0x1021 : (ushort)0;
            }
        }

        return crc;
    }
}

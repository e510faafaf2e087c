using System.Buffers;
using KvStore.Protocol;

namespace KvStore.Replication.Tests.StateMachine;

public sealed class StoredValueTests
{
    [Theory]
    [InlineData(null, "", "00")]
    [InlineData(null, "ab", "006162")]
    [InlineData("application/octet-stream", "ab", "006162")]
    [InlineData("a/b", "xy", "03612F627879")]
    public void Golden_bytes(string? type, string value, string hex) =>
        Assert.Equal(hex, Convert.ToHexString(Write(type, Machine.Bytes(value))));

    [Theory]
    [InlineData(null, null)]
    [InlineData("application/octet-stream", null)]
    [InlineData("", null)]
    [InlineData("application/json", "application/json")]
    [InlineData("application/vnd.something-rare+json; version=1", "application/vnd.something-rare+json; version=1")]
    public void What_was_written_is_read(string? type, string? read)
    {
        byte[] stored = Write(type, [1, 2, 3]);
        Assert.True(StoredValue.TryRead(stored.AsSpan(), out ReadOnlySpan<byte> value, out string? contentType));
        Assert.Equal(read, contentType);
        Assert.Equal([1, 2, 3], value.ToArray());
        Assert.True(StoredValue.TryRead(stored.AsMemory(), out ReadOnlyMemory<byte> memory, out contentType));
        Assert.Equal(read, contentType);
        Assert.Equal([1, 2, 3], memory.ToArray());
    }

    [Fact]
    public void The_longest_content_type_fits_and_a_longer_one_is_refused()
    {
        string longest = new('x', Limits.MaxContentTypeBytes);
        Assert.True(StoredValue.TryRead(Write(longest, [9]).AsSpan(), out ReadOnlySpan<byte> value, out string? type));
        Assert.Equal((longest, 1), (type, value.Length));
        Assert.Throws<ArgumentException>(() => Write(longest + "x", [9]));
        Assert.Throws<ArgumentException>(() => Write("text/ä", [9]));
    }

    [Theory]
    [InlineData("")]
    [InlineData("01")]
    [InlineData("036162")]
    [InlineData("80")]
    [InlineData("FF6162")]
    [InlineData("01C3")]
    public void What_nobody_can_have_written_is_not_read(string hex) =>
        Assert.False(StoredValue.TryRead(Convert.FromHexString(hex).AsSpan(), out _, out _));

    [Fact]
    public void Reading_a_common_content_type_allocates_nothing()
    {
        byte[] stored = Write("application/json", [1, 2, 3]);
        StoredValue.TryRead(stored.AsSpan(), out _, out string? first);
        long before = GC.GetAllocatedBytesForCurrentThread();
        StoredValue.TryRead(stored.AsSpan(), out _, out string? second);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Same(first, second);
    }

    private static byte[] Write(string? type, byte[] value)
    {
        var output = new ArrayBufferWriter<byte>();
        StoredValue.Write(output, type, value);
        return output.WrittenSpan.ToArray();
    }
}

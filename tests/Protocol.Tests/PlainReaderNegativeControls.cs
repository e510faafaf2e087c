using Xunit.Sdk;

namespace KvStore.Protocol.Tests;

/// <summary>A short way that goes wrong must be caught by <see cref="PlainReaderTests"/>.</summary>
public sealed class PlainReaderNegativeControls
{
    [Fact]
    public void A_sign_that_is_lost_is_caught() => Assert.ThrowsAny<XunitException>(() =>
        PlainReaderTests.Compare<long>((ref MessagePackReader reader, out long value) =>
        {
            bool ok = reader.TryRead(out value);
            value = Math.Abs(Math.Max(value, -long.MaxValue));
            return ok;
        }));

    [Fact]
    public void A_range_that_is_not_checked_is_caught() => Assert.ThrowsAny<XunitException>(() =>
        PlainReaderTests.Compare<byte>((ref MessagePackReader reader, out byte value) =>
        {
            bool ok = reader.TryRead(out ushort wide);
            value = (byte)wide;
            return ok;
        }));
}

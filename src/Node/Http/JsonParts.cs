using System.Buffers;
using System.Text.Json;
using System.Text.Unicode;

namespace KvStore.Node.Http;

/// <summary>
/// A JSON body that is sent while it is written: what is in memory is one part and not the whole, which may be six times its values. A body that
/// fits into one part has a Content-Length, a longer one is chunked; on HEAD nothing is sent.
/// </summary>
internal sealed class JsonParts : IDisposable
{
    /// <summary>Bytes that are gathered before they are sent.</summary>
    private const int PartBytes = 64 << 10;

    /// <summary>Bytes of a value that are written at a time: a multiple of three, which base64 takes without a rest.</summary>
    private const int PieceBytes = 12 << 10;

    private readonly ArrayBufferWriter<byte> _part = new();
    private readonly HttpContext _context;
    private bool _hasSkipped;

    public JsonParts(HttpContext context, JsonWriterOptions options)
    {
        _context = context;
        Json = new Utf8JsonWriter(_part, options);
    }

    public Utf8JsonWriter Json { get; }

    /// <summary>"value" and "encoding": as text when it is text, otherwise in base64.</summary>
    public async ValueTask WriteValueAsync(ReadOnlyMemory<byte> value)
    {
        bool isText = Utf8.IsValid(value.Span);
        Json.WritePropertyName("value"u8);
        for (int from = 0; from == 0 || from < value.Length; from += PieceBytes)
        {
            bool isLast = value.Length - from <= PieceBytes;
            ReadOnlyMemory<byte> piece = isLast ? value[from..] : value.Slice(from, PieceBytes);
            if (isText)
            {
                Json.WriteStringValueSegment(piece.Span, isLast);
            }
            else
            {
                Json.WriteBase64StringSegment(piece.Span, isLast);
            }

            await SendWholePartAsync();
        }

        Json.WriteString("encoding"u8, isText ? "utf8"u8 : "base64"u8);
    }

    /// <summary>Sends what there is when it is a part. To be called often: between two calls everything stays in memory.</summary>
    public ValueTask SendWholePartAsync() => _part.WrittenCount + Json.BytesPending < PartBytes ? default : SendAsync();

    public async ValueTask EndAsync()
    {
        await Json.FlushAsync(_context.RequestAborted);
        if (!_context.Response.HasStarted && !_hasSkipped)
        {
            _context.Response.ContentLength = _part.WrittenCount;
        }

        await SendAsync();
    }

    public void Dispose() => Json.Dispose();

    private async ValueTask SendAsync()
    {
        await Json.FlushAsync(_context.RequestAborted);
        if (HttpMethods.IsHead(_context.Request.Method))
        {
            _hasSkipped = true;
        }
        else
        {
            await _context.Response.BodyWriter.WriteAsync(_part.WrittenMemory, _context.RequestAborted);
        }

        _part.ResetWrittenCount();
    }
}

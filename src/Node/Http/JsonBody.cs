using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace KvStore.Node.Http;

/// <summary>Writes one JSON object as the whole body, with its length; on HEAD the length alone.</summary>
internal static class JsonBody
{
    /// <summary>Relaxed: quotes of ETags and non-ASCII keys stay readable. The media type is JSON and never sniffed as HTML.</summary>
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static async Task WriteAsync<T>(HttpContext context, string mediaType, T subject, Action<Utf8JsonWriter, T> writeMembers)
    {
        ArrayBufferWriter<byte> body = new();
        using (Utf8JsonWriter json = new(body, Options))
        {
            json.WriteStartObject();
            writeMembers(json, subject);
            json.WriteEndObject();
        }

        context.Response.ContentType = mediaType;
        context.Response.ContentLength = body.WrittenCount;
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await context.Response.BodyWriter.WriteAsync(body.WrittenMemory, context.RequestAborted);
        }
    }
}
